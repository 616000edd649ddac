"""The planner: how many workers hold which model, and how much of each prompt class each level takes.

A pure function, `solve(Instance) -> Plan`. The live scheduler, the simulator and `argus solve` all call this one.

Variables
    x[c,l] ≥ 0      requests a minute of class c served at level l, where l's quality for c reaches c's floor
    y[l,d] ≥ 0      requests a minute of level l that run on device type d, where l has a throughput there
    n[d,m] ∈ ℕ      workers of type d that hold model m, where m runs on d and fits its memory
    u[d,m] ≥ 0      of these, workers that have to load m (they do not hold it now)
Objective, lexicographic
    1. serve:       Σ weight[c]·x
    2. quality:     Σ weight[c]·quality[c,l]·x[c,l] − switch_cost·Σ u
    3. stay put:    −Σ u
Constraints
    C1  No class is served more than it asks for:         Σ_l x[c,l] ≤ demand[c]
    C2  What a level takes runs on its devices:           Σ_c x[c,l] = Σ_d y[l,d]        (its dual is the level's price)
    C3  The levels of a model share its workers' time,    headroom·Σ_{l on m} y[l,d]/throughput[l,d]
        less what loading takes of it:                        ≤ n[d,m] − load_share[d,m]·u[d,m] − loading[d,m]
    C4  Every worker holds one model:                     Σ_m n[d,m] = devices[d]
    C5  Workers inside their dwell time stay:             n[d,m] ≥ pinned[d,m]
    C6  A worker more than there are now has to load:     n[d,m] − u[d,m] ≤ current[d,m]
    C7  Few begin to load at the same time:               Σ_m u[d,m] ≤ max_moves[d]
    C8  What an earlier objective reached is kept:        Σ weight·x ≥ served*;  then  quality ≥ quality*

Each stage is a MILP of its own (HiGHS through `scipy.optimize.milp`), because a weighted sum that is strict enough to
be lexicographic is too steep for the solver's tolerances. Most instances need one stage: that everybody is served is
tried first, and the third is skipped when no worker moved. The constraints stand in `scheduler.planning.program`, each
under its sentence.

Prices are the duals of C2 in the LP with the integers fixed: price[l] is the total quality (relative quality × requests
a minute) lost by taking one request a minute away from level l's capacity, so its unit is relative quality a request.
A prompt belongs at `argmax weight·quality[l] − price[l]`: by complementary slackness each x[c,l] > 0 attains that
maximum. Weights are 1 unless a class has another; what they say of being served is also what they say of being late,
because a request that is not served in time is late.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import LinearConstraint, linprog, milp
from scipy.sparse import vstack

from scheduler.planning import greedy
from scheduler.planning.instance import EPS, Instance, Level, Plan, PromptClass
from scheduler.planning.program import Program

__all__ = ["Instance", "Level", "Plan", "PromptClass", "greedy_plan", "solve"]
EXACT_GAP, FLEET_GAP = 1e-9, 1e-4  # relative gap at which the solver stops, for a few workers and for many
MOVES = 100.0  # the third stage may stop at so many times that gap: a worker more that moves costs little


def solve(instance: Instance, time_limit: float = 0.9, gap: float | None = None) -> Plan:
    """The best plan, always one: the solver's within `time_limit` seconds and relative `gap`, or the greedy one.

    `gap` None: exact up to 64 workers, 1e-4 above. Deterministic but for the time limit. `Plan.status` and
    `Plan.reason` say what happened.
    """
    started = time.perf_counter()
    if gap is None:
        gap = EXACT_GAP if sum(instance.devices.values()) <= 64 else FLEET_GAP
    try:
        return _Stages(Program(instance), _Budget(started, time_limit, gap)).solve()
    except _NoAnswer as e:
        return greedy_plan(instance, str(e), started)
    except (ValueError, ArithmeticError, MemoryError) as e:  # a crash inside the solver must not lose the tick
        return greedy_plan(instance, f"solver raised {type(e).__name__}: {e}", started)


def greedy_plan(instance: Instance, reason: str = "asked for", started: float | None = None) -> Plan:
    """The greedy plan: no solver, feasible, usually within a few percent; its prices are those of the next upgrade."""
    started = time.perf_counter() if started is None else started
    counts, rates = greedy.assign(instance)
    served: dict[str, dict[str, float]] = {c.id: {} for c in instance.classes}
    for (c, level, _), rate in rates.items():
        served[c][level] = served[c].get(level, 0.0) + rate
    prices = greedy.prices(instance, counts, rates)
    return _plan(instance, counts, served, prices, started, status="greedy", gap=1.0, reason=reason)


class _NoAnswer(Exception):
    """The solver stopped without a feasible point."""


class _Infeasible(_NoAnswer):
    """There is none."""


@dataclass
class _Budget:
    """What the stages may still spend, and how far from optimal they stopped."""

    started: float
    time_limit: float
    wanted: float
    gap: float = 0.0
    reason: str = ""

    @property
    def left(self) -> float:
        return max(0.01, self.started + self.time_limit - time.perf_counter())


class _Stages:
    """The lexicographic stages over one program, and the LP that gives rates and prices."""

    def __init__(self, program: Program, budget: _Budget) -> None:
        self.program, self.budget = program, budget

    def solve(self) -> Plan:
        program = self.program
        if len(program.n) == len({device for device, _ in program.n}):
            return self._without_choice()
        score = program.quality - program.instance.switch_cost * program.moves
        point, served = self._serve_then_quality(score)
        if program.moves @ point > program.forced_moves + 0.5:
            point = self._stay_put(point, score, served)
        return self._answer(np.rint(point[program.at_n : program.at_u]).astype(int), served)

    def _without_choice(self) -> Plan:
        """One model a device type: nothing is integer, and the LP that gives the prices gives the plan."""
        program = self.program
        workers = np.array([program.instance.devices[device] for device, _ in program.n])
        try:
            return self._answer(workers, program.demand)
        except _Infeasible:
            return self._answer(workers, float(program.serve @ self._stage(program.serve, [])))

    def _stay_put(self, point: np.ndarray, score: np.ndarray, served: float) -> np.ndarray:
        """Stage 3. Out of time here, moves are lost, not service or quality: status and gap stay those of stage 2."""
        gap, reason = self.budget.gap, self.budget.reason
        # C8 What an earlier objective reached is kept: served and quality (to the gap asked for).
        quality = self.program.at_least(score, float(score @ point), self.budget.wanted)
        point = self._stage_or(
            point,
            -self.program.moves,
            [self.program.at_least(self.program.serve, served), quality],
            MOVES * self.budget.wanted,
        )
        self.budget.gap, self.budget.reason = gap, reason
        return point

    def _serve_then_quality(self, score: np.ndarray) -> tuple[np.ndarray, float]:
        """Stages 1 and 2, and the rate served. That all reachable demand is served is tried first: mostly it can be."""
        try:
            return self._stage(
                score, [self.program.at_least(self.program.serve, self.program.demand)]
            ), self.program.demand
        except _Infeasible:
            point = self._stage(self.program.serve, [])
            served = float(self.program.serve @ point)
            # C8 What an earlier objective reached is kept: the rate served.
            return self._stage_or(point, score, [self.program.at_least(self.program.serve, served)]), served

    def _stage(self, score: np.ndarray, keep: list[LinearConstraint], gap: float | None = None) -> np.ndarray:
        """Maximise one objective. Every status HiGHS can return ends as a point, `_Infeasible` or `_NoAnswer`."""
        answer = milp(
            -score,
            integrality=self.program.whole,
            bounds=self.program.bounds,
            constraints=[*self.program.rows, *keep],
            options={"time_limit": self.budget.left, "mip_rel_gap": gap or self.budget.wanted},
        )
        if answer.status == 2:
            raise _Infeasible(answer.message)
        if answer.x is None:
            raise _NoAnswer(f"solver status {answer.status}: {answer.message}")
        if answer.status != 0:
            self.budget.reason = answer.message
        self.budget.gap = max(self.budget.gap, answer.mip_gap or 0.0)
        return np.asarray(answer.x)

    def _stage_or(
        self, known: np.ndarray, score: np.ndarray, keep: list[LinearConstraint], gap: float | None = None
    ) -> np.ndarray:
        """A later stage may run out of time: the point of the stage before it stands."""
        try:
            return self._stage(score, keep, gap)
        except _NoAnswer as e:
            self.budget.reason = str(e)
            return known

    def _answer(self, workers: np.ndarray, served: float) -> Plan:
        """Rates and prices: the LP over x and y with the integers fixed. Its duals of C2 are the prices."""
        program = self.program
        c1, c2, c3 = program.rows[:3]
        keep = program.at_least(program.serve, served)
        fixed = np.column_stack([program.bounds.lb, program.bounds.ub])
        fixed[program.at_n : program.at_u] = workers[:, None]
        fixed[program.at_u :] = np.maximum(0, workers - program.current)[:, None]
        answer = linprog(
            -program.quality,
            A_ub=vstack([c1.A, c3.A, -keep.A]),
            b_ub=np.concatenate([c1.ub, c3.ub, -keep.lb]),
            A_eq=c2.A,
            b_eq=c2.ub,
            bounds=fixed,
            method="highs",
        )
        if answer.status == 2:
            raise _Infeasible(answer.message)
        if answer.x is None:
            raise _NoAnswer(f"LP with the integers fixed, status {answer.status}: {answer.message}")
        return self._as_plan(workers, answer.x, answer.eqlin.marginals)

    def _as_plan(self, workers: np.ndarray, point: np.ndarray, duals: np.ndarray) -> Plan:
        program = self.program
        prices = {lv: max(0.0, float(-dual)) for lv, dual in zip(program.levels, duals, strict=True)}
        rates: dict[str, dict[str, float]] = {c.id: {} for c in program.instance.classes}
        for (c, lv), rate in zip(program.x, point, strict=False):
            if rate > EPS:
                rates[c.id][lv] = float(rate)
        by_device = zip(program.y, point[program.at_y : program.at_n], strict=True)
        spare = sum(workers) - sum(program.time(lv, d) * rate for (lv, d), rate in by_device)
        return _plan(
            program.instance,
            {key: int(k) for key, k in zip(program.n, workers, strict=True)},
            rates,
            prices,
            self.budget.started,
            status="feasible" if self.budget.reason else "optimal",
            gap=self.budget.gap,
            spare=max(0.0, float(spare)),
            reason=self.budget.reason,
        )


def _plan(
    instance: Instance,
    counts: Mapping[tuple[str, str], int],
    served: Mapping[str, Mapping[str, float]],
    prices: Mapping[str, float],
    started: float,
    **how: Any,
) -> Plan:
    """The totals of an assignment and its rates, however they were found."""
    workers: dict[str, dict[str, int]] = {device: {} for device in instance.devices}
    for (device, model), n in counts.items():
        if n:
            workers[device][model] = n
    moves = sum(max(0, n - instance.holding(device, model)) for (device, model), n in counts.items())
    kept = {c.id: sum(rate * c.quality[lv] for lv, rate in served[c.id].items()) for c in instance.classes}
    return Plan(
        objective=sum(c.weight * kept[c.id] for c in instance.classes) - instance.switch_cost * moves,
        served_total=sum(sum(rates.values()) for rates in served.values()),
        quality_total=sum(kept.values()),
        workers=workers,
        served=served,
        shed={c.id: max(0.0, c.demand - sum(served[c.id].values())) for c in instance.classes},
        prices=prices,
        moves=moves,
        seconds=time.perf_counter() - started,
        **how,
    )
