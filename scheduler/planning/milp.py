"""The planner: how many workers hold which model, and how much of each prompt class each level takes.

A pure function, `solve(Instance) -> Plan`. The live scheduler, the simulator and `argus solve` all call this one.

Variables
    x[c,l] ≥ 0      requests a minute of class c served at level l, where l's quality for c reaches c's floor
    y[l,d] ≥ 0      requests a minute of level l that run on device type d, where l has a throughput there
    n[d,m] ∈ ℕ      workers of type d that hold model m, where m runs on d and fits its memory
    u[d,m] ≥ 0      of these, workers that have to load m (they do not hold it now)
Objective, lexicographic
    1. serve:       Σ x
    2. quality:     Σ quality[c,l]·x[c,l] − switch_cost·Σ u
    3. stay put:    −Σ u
Constraints
    C1  No class is served more than it asks for:         Σ_l x[c,l] ≤ demand[c]
    C2  What a level takes runs on its devices:           Σ_c x[c,l] = Σ_d y[l,d]        (its dual is the level's price)
    C3  The levels of a model share its workers' time:    headroom·Σ_{l on m} y[l,d]/throughput[l,d] ≤ n[d,m]
    C4  Every worker holds one model:                     Σ_m n[d,m] = devices[d]
    C5  Workers inside their dwell time stay:             n[d,m] ≥ pinned[d,m]
    C6  A worker more than there are now has to load:     n[d,m] − u[d,m] ≤ current[d,m]
    C7  What an earlier objective reached is kept:        Σ x ≥ served*;  then  quality ≥ quality*

Each stage is a MILP of its own (HiGHS through `scipy.optimize.milp`), because a weighted sum that is strict enough to
be lexicographic is too steep for the solver's tolerances. Most instances need one stage: that everybody is served is
tried first, and the third is skipped when no worker moved.

Prices are the duals of C2 in the LP with the integers fixed: price[l] is the total quality (relative quality × requests
a minute) lost by taking one request a minute away from level l's capacity, so its unit is relative quality a request.
A prompt belongs at `argmax quality[l] − price[l]`: by complementary slackness each x[c,l] > 0 attains that maximum.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_array, vstack

from scheduler.planning import greedy
from scheduler.planning.instance import EPS, Instance, Level, Plan, PromptClass

__all__ = ["Instance", "Level", "Plan", "PromptClass", "solve", "stand_in"]
FEASIBLE = 1e-7  # HiGHS' own feasibility tolerance: bounds carried from stage to stage are loosened by this share
EXACT_GAP, FLEET_GAP = 1e-9, 1e-4  # relative gap at which the solver stops, for a few workers and for many
MOVES = 100.0  # the third stage may stop at so many times that gap: a worker more that moves costs little


def solve(instance: Instance, time_limit: float = 0.9, gap: float | None = None) -> Plan:
    """The best plan, always one: the solver's within `time_limit` seconds and relative `gap`, or a greedy stand-in.

    `gap` None: exact up to 64 workers, 1e-4 above. Deterministic but for the time limit. `Plan.status` and
    `Plan.reason` say what happened.
    """
    started = time.perf_counter()
    if gap is None:
        gap = EXACT_GAP if sum(instance.devices.values()) <= 64 else FLEET_GAP
    try:
        return _Program(instance, _Budget(started, time_limit, gap)).solve()
    except _NoAnswer as e:
        return stand_in(instance, str(e), started)
    except (ValueError, ArithmeticError, MemoryError) as e:  # a crash inside the solver must not lose the tick
        return stand_in(instance, f"solver raised {type(e).__name__}: {e}", started)


def stand_in(instance: Instance, reason: str = "asked for", started: float | None = None) -> Plan:
    """The greedy plan: no solver, feasible, usually within a few percent; its prices are those of the next upgrade."""
    started = time.perf_counter() if started is None else started
    counts, lanes = greedy.assign(instance)
    served: dict[str, dict[str, float]] = {c.id: {} for c in instance.classes}
    for (c, level, _), rate in lanes.items():
        served[c][level] = served[c].get(level, 0.0) + rate
    prices = greedy.prices(instance, counts, lanes)
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


class _Program:
    """Columns, rows and stages of the MILP in the module docstring."""

    def __init__(self, instance: Instance, budget: _Budget) -> None:
        self.instance, self.budget = instance, budget
        lanes = instance.lanes
        self.levels = {level.id: level for level, _ in lanes}
        self.x = [(c, lv) for c in instance.classes for lv in self.levels if c.allows(lv)]
        self.y = [(level.id, device) for level, device in lanes]
        self.n = list(dict.fromkeys((device, level.holds) for level, device in lanes))
        self.at_y = len(self.x)
        self.at_n = self.at_y + len(self.y)
        self.at_u = self.at_n + len(self.n)
        self.width = self.at_u + len(self.n)
        self.serve = self._over(slice(0, self.at_y), [1.0] * self.at_y)
        self.quality = self._over(slice(0, self.at_y), [c.quality[lv] for c, lv in self.x])
        self.moves = self._over(slice(self.at_u, self.width), [1.0] * len(self.n))
        self.whole = self._over(slice(self.at_n, self.at_u), [1.0] * len(self.n))
        self.now = np.array([instance.holding(d, m) for d, m in self.n])
        self.everyone = sum(c.demand for c in {c.id: c for c, _ in self.x}.values())
        self.rows = self._rows()
        self.bounds = self._bounds()

    def solve(self) -> Plan:
        if len(self.n) == len({device for device, _ in self.n}):
            return self._without_choice()
        score = self.quality - self.instance.switch_cost * self.moves
        point, served = self._serve_then_quality(score)
        if self.moves @ point > self._forced_moves() + 0.5:
            point = self._stay_put(point, score, served)
        return self._answer(np.rint(point[self.at_n : self.at_u]).astype(int), served)

    def _without_choice(self) -> Plan:
        """One model a device type: nothing is integer, and the LP that gives the prices gives the plan."""
        workers = np.array([self.instance.devices[device] for device, _ in self.n])
        try:
            return self._answer(workers, self.everyone)
        except _Infeasible:
            return self._answer(workers, float(self.serve @ self._stage(self.serve, [])))

    def _stay_put(self, point: np.ndarray, score: np.ndarray, served: float) -> np.ndarray:
        """Stage 3. Running out of time here costs moves, not service or quality: status and gap stay those of stage 2."""
        gap, reason = self.budget.gap, self.budget.reason
        # C7 What an earlier objective reached is kept: served and quality (to the gap asked for).
        quality = self._at_least(score, float(score @ point), self.budget.wanted)
        point = self._stage_or(
            point, -self.moves, [self._at_least(self.serve, served), quality], MOVES * self.budget.wanted
        )
        self.budget.gap, self.budget.reason = gap, reason
        return point

    def _serve_then_quality(self, score: np.ndarray) -> tuple[np.ndarray, float]:
        """Stages 1 and 2, and the rate served. That all reachable demand is served is tried first: mostly it can be."""
        try:
            return self._stage(score, [self._at_least(self.serve, self.everyone)]), self.everyone
        except _Infeasible:
            point = self._stage(self.serve, [])
            served = float(self.serve @ point)
            # C7 What an earlier objective reached is kept: the rate served.
            return self._stage_or(point, score, [self._at_least(self.serve, served)]), served

    def _stage(self, score: np.ndarray, keep: list[LinearConstraint], gap: float | None = None) -> np.ndarray:
        """Maximise one objective. Every status HiGHS can return ends as a point, `_Infeasible` or `_NoAnswer`."""
        answer = milp(
            -score,
            integrality=self.whole,
            bounds=self.bounds,
            constraints=[*self.rows, *keep],
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

    def _rows(self) -> list[LinearConstraint]:
        inst, n = self.instance, range(len(self.n))
        of_class = {c.id: i for i, c in enumerate(inst.classes)}
        of_level = {level: i for i, level in enumerate(self.levels)}
        of_group = {key: i for i, key in enumerate(self.n)}
        of_device = {d: i for i, d in enumerate(dict.fromkeys(d for d, _ in self.n))}
        workers = [inst.devices[d] for d in of_device]

        # C1 No class is served more than it asks for.
        c1 = [(of_class[c.id], i, 1.0) for i, (c, _) in enumerate(self.x)]
        # C2 What a level takes runs on its devices.
        c2 = [(of_level[lv], i, 1.0) for i, (_, lv) in enumerate(self.x)]
        c2 += [(of_level[lv], self.at_y + j, -1.0) for j, (lv, _) in enumerate(self.y)]
        # C3 The levels of a model share its workers' time.
        c3 = [
            (of_group[d, self.levels[lv].holds], self.at_y + j, self._time(lv, d)) for j, (lv, d) in enumerate(self.y)
        ]
        c3 += [(k, self.at_n + k, -1.0) for k in n]
        # C4 Every worker holds one model.
        c4 = [(of_device[d], self.at_n + k, 1.0) for k, (d, _) in enumerate(self.n)]
        # C6 A worker more than there are now has to load.
        c6 = [(k, self.at_n + k, 1.0) for k in n] + [(k, self.at_u + k, -1.0) for k in n]

        demand = np.array([c.demand for c in inst.classes], float)
        return [
            LinearConstraint(self._matrix(len(of_class), c1), -np.inf, demand),
            LinearConstraint(self._matrix(len(of_level), c2), np.zeros(len(of_level)), np.zeros(len(of_level))),
            LinearConstraint(self._matrix(len(self.n), c3), -np.inf, np.zeros(len(self.n))),
            LinearConstraint(self._matrix(len(of_device), c4), workers, workers),
            LinearConstraint(self._matrix(len(self.n), c6), -np.inf, self.now),
        ]

    def _bounds(self) -> Bounds:
        lower, upper = np.zeros(self.width), np.full(self.width, np.inf)
        # C5 Workers inside their dwell time stay.
        lower[self.at_n : self.at_u] = [self.instance.pinned.get(d, {}).get(m, 0) for d, m in self.n]
        upper[self.at_n :] = [self.instance.devices[d] for d, _ in self.n] * 2
        return Bounds(lower, upper)

    def _time(self, level: str, device: str) -> float:
        """Worker-minutes that one request a minute takes, headroom included."""
        return self.instance.headroom / self.levels[level].throughput[device]

    def _forced_moves(self) -> int:
        """Workers that hold no model that could run on them: they load whatever is planned."""
        holding: dict[str, int] = {}
        for (device, _), n in zip(self.n, self.now, strict=True):
            holding[device] = holding.get(device, 0) + int(n)
        return sum(self.instance.devices[device] - n for device, n in holding.items())

    def _answer(self, workers: np.ndarray, served: float) -> Plan:
        """Rates and prices: the LP over x and y with the integers fixed. Its duals of C2 are the prices."""
        c1, c2, c3 = self.rows[:3]
        keep = self._at_least(self.serve, served)
        fixed = np.column_stack([self.bounds.lb, self.bounds.ub])
        fixed[self.at_n : self.at_u] = workers[:, None]
        fixed[self.at_u :] = np.maximum(0, workers - self.now)[:, None]
        answer = linprog(
            -self.quality,
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
        prices = {lv: max(0.0, float(-dual)) for lv, dual in zip(self.levels, answer.eqlin.marginals, strict=True)}
        rates: dict[str, dict[str, float]] = {c.id: {} for c in self.instance.classes}
        for (c, lv), rate in zip(self.x, answer.x, strict=False):
            if rate > EPS:
                rates[c.id][lv] = float(rate)
        counts = {key: int(k) for key, k in zip(self.n, workers, strict=True)}
        spare = sum(workers) - sum(
            self._time(lv, d) * rate for (lv, d), rate in zip(self.y, answer.x[self.at_y : self.at_n], strict=True)
        )
        status = "feasible" if self.budget.reason else "optimal"
        return _plan(
            self.instance,
            counts,
            rates,
            prices,
            self.budget.started,
            status=status,
            gap=self.budget.gap,
            spare=max(0.0, float(spare)),
            reason=self.budget.reason,
        )

    def _at_least(self, score: np.ndarray, reached: float, slack: float = 0.0) -> LinearConstraint:
        slack = max(slack, FEASIBLE) * max(1.0, abs(reached))
        return LinearConstraint(csr_array(score[None, :]), reached - slack, np.inf)

    def _over(self, columns: slice, values: list[float]) -> np.ndarray:
        vector = np.zeros(self.width)
        vector[columns] = values
        return vector

    def _matrix(self, height: int, entries: list[tuple[int, int, float]]) -> csr_array:
        rows, columns, values = zip(*entries, strict=True) if entries else ((), (), ())
        return csr_array((values, (rows, columns)), shape=(height, self.width))


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
    quality = sum(rate * c.quality[lv] for c in instance.classes for lv, rate in served[c.id].items())
    return Plan(
        objective=quality - instance.switch_cost * moves,
        served_total=sum(sum(rates.values()) for rates in served.values()),
        quality_total=quality,
        workers=workers,
        served=served,
        shed={c.id: max(0.0, c.demand - sum(served[c.id].values())) for c in instance.classes},
        prices=prices,
        moves=moves,
        seconds=time.perf_counter() - started,
        **how,
    )
