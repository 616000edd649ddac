"""Re-assignment of what waits: least predicted loss within the workers' time, the deadline_unreachable set aside first.

A new epoch finds requests queued under old prices, or for levels nobody serves any more. `align` gives each a level
again: minimise Σ loss subject to the worker-seconds each model can give the backlog. As a transport problem it has N×L
variables; its prices, the worth of a worker-second by model, are those of a sample sorted by quality, so that 10,000
waiting take a fraction of a second. What that leaves over a budget is moved where it loses least a second, what it
leaves under is spent where it gains most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

from scheduler.planning.pricing import TIE, choose

Array = np.ndarray
SAMPLED = 300  # of the waiting, for the prices
OVERRUN = 10.0  # relative quality a second


@dataclass(frozen=True)
class Alignment:
    """Level index by request (N), −1 where it is set aside; worth of a worker-second by model (M)."""

    levels: Array
    worth: Array

    @property
    def aside(self) -> Array:
        return np.flatnonzero(self.levels < 0)


@dataclass(frozen=True)
class Lanes:
    """What the levels cost now: mean worker-`seconds` (L), `latency` alone (L), index of the `model` (L), `workers` (M).

    A level whose model has no workers is closed.
    """

    seconds: Array
    latency: Array
    model: Array
    workers: Array

    @property
    def open(self) -> Array:
        return (self.workers[self.model] > 0) & np.isfinite(self.seconds)


def align(
    lanes: Lanes, quality: Array, left: Array, floors: Array | None = None, budget: Array | None = None
) -> Alignment:
    """Levels for N waiting requests: predicted `quality` (N×L), seconds `left` to their deadlines (N), `floors` (N).

    `budget` (M) is the worker-seconds a model may spend on them; without it, workers × the time that is left on average.
    """
    levels = np.full(len(quality), -1)
    worth = np.zeros(len(lanes.workers))
    within = allowed_levels(lanes, quality, floors)
    keep = np.flatnonzero(in_time(lanes, within, left))
    if not len(keep):
        return Alignment(levels, worth)
    if budget is None:
        budget = lanes.workers * float(np.mean(left[keep]))
    inside = np.where(within[keep], quality[keep], -np.inf)
    worth = _worth(lanes, inside, budget)
    picked = _pick(lanes, inside, worth)
    _move(lanes, inside, picked, budget, save=True)
    _move(lanes, inside, picked, budget, save=False)
    levels[keep] = picked
    return Alignment(levels, worth)


def allowed_levels(lanes: Lanes, quality: Array, floors: Array | None) -> Array:
    """Open levels at or above the floor (N×L); where the floor leaves none, the best open one."""
    opened = np.broadcast_to(lanes.open, quality.shape)
    reached = opened if floors is None else opened & (quality >= floors[:, None] - TIE)
    top = np.where(opened, quality, -np.inf)
    best = opened & (top >= top.max(axis=1, keepdims=True))
    return np.where(reached.any(axis=1, keepdims=True), reached, best)


def in_time(lanes: Lanes, within: Array, left: Array) -> Array:
    """Which requests (N) can still meet their deadlines, if all that go before them go as fast as allowed.

    Earliest deadline first over the models' workers as one fluid each; a request that would be late takes no time from
    those behind it.
    """
    n_models = len(lanes.workers)
    fastest = np.full((len(left), n_models), np.inf)
    answer = np.full((len(left), n_models), np.inf)
    for m in range(n_models):
        mine = lanes.model == m
        if lanes.workers[m] > 0 and mine.any():
            fastest[:, m] = np.where(within[:, mine], lanes.seconds[mine], np.inf).min(axis=1) / lanes.workers[m]
            answer[:, m] = np.where(within[:, mine], lanes.latency[mine], np.inf).min(axis=1)
    clock = [0.0] * n_models
    able = np.zeros(len(left), bool)
    for i in np.argsort(left, kind="stable"):
        ends = [clock[m] + answer[i, m] for m in range(n_models)]
        m = min(range(n_models), key=ends.__getitem__)
        if ends[m] <= left[i] + TIE:
            able[i] = True
            clock[m] += fastest[i, m]
    return able


def _pick(lanes: Lanes, inside: Array, worth: Array) -> Array:
    finite = np.where(lanes.open, lanes.seconds, 0.0)
    return choose(inside, np.where(lanes.open, worth[lanes.model] * finite, np.inf))


def _spent(lanes: Lanes, picked: Array) -> Array:
    return np.bincount(lanes.model[picked], weights=lanes.seconds[picked], minlength=len(lanes.workers))


def _worth(lanes: Lanes, inside: Array, budget: Array) -> Array:
    """Worth of a worker-second by model: duals of the transport problem over every k-th prompt, sorted by quality.

    A budget that cannot be kept is overrun at `OVERRUN` a second, so that there always is an answer.
    """
    open_quality = np.where(np.isfinite(inside), inside, 0.0)
    order = np.argsort(open_quality.sum(axis=1), kind="stable")
    rows = order[np.linspace(0, len(order) - 1, min(SAMPLED, len(order))).astype(int)]
    i, level = np.nonzero(np.isfinite(inside[rows]))
    models = len(budget)
    served = coo_array((np.ones(len(i)), (i, np.arange(len(i)))), (len(rows), len(i) + models))
    spent = coo_array(
        (
            np.concatenate([lanes.seconds[level], -np.ones(models)]),
            (np.concatenate([lanes.model[level], np.arange(models)]), np.arange(len(i) + models)),
        ),
        (models, len(i) + models),
    )
    answer = linprog(
        np.concatenate([-inside[rows][i, level], np.full(models, OVERRUN)]),
        A_ub=spent.tocsr(),
        b_ub=budget * len(rows) / len(inside),
        A_eq=served.tocsr(),
        b_eq=np.ones(len(rows)),
        method="highs",
    )
    return np.zeros(models) if answer.x is None else np.maximum(0.0, -answer.ineqlin.marginals)


def _move(lanes: Lanes, inside: Array, picked: Array, budget: Array, save: bool) -> None:
    """Change `picked` in place until budgets are kept (`save`: least loss a second first) or spent (best gain first).

    Prompts that lose alike move as one under prices; here they move one by one.
    """
    seconds = np.where(lanes.open, lanes.seconds, np.inf)
    left = budget - _spent(lanes, picked)
    rows = np.arange(len(picked))
    for _ in range(len(seconds)):
        here = lanes.model[picked]
        same = lanes.model[None, :] == here[:, None]
        extra = np.where(same, seconds[None, :] - seconds[picked][:, None], seconds[None, :])
        gain = inside - inside[rows, picked][:, None]
        room = extra <= left[lanes.model][None, :] + TIE
        if save:
            freed = np.where(same, -extra, np.where(room, seconds[picked][:, None], -1.0))
            able = (left[here] < -TIE)[:, None] & (freed > TIE) & np.isfinite(inside)
            rate = np.where(able, gain, -np.inf) / np.maximum(freed, TIE)
        else:
            able = (gain > TIE) & room
            rate = np.where(able, gain, -np.inf) / np.where(able, np.maximum(extra, TIE), 1.0)
        target = rate.argmax(axis=1)
        best = rate[rows, target]
        moved = False
        for i in np.flatnonzero(np.isfinite(best))[np.argsort(-best[np.isfinite(best)], kind="stable")]:
            source, goal = lanes.model[picked[i]], lanes.model[target[i]]
            more = seconds[target[i]] - (seconds[picked[i]] if source == goal else 0.0)
            if (save and left[source] >= -TIE) or (more > 0 and more > left[goal] + TIE):
                continue
            left[source] += seconds[picked[i]]
            left[goal] -= seconds[target[i]]
            picked[i] = target[i]
            moved = True
        if not moved:
            return
