"""Re-alignment of the backlog: levels with the least predicted loss within the workers' time.

A new epoch finds requests queued under old prices, or for levels nobody serves any more. `align` gives each a level
again: minimise Σ loss subject to the worker-seconds each model can give the backlog. Requests that no level can finish
by their deadline get none. As a transport problem this has N×L variables; its duals, the price of a worker-second by
model, are taken from a sample sorted by quality, so that 10,000 waiting take a fraction of a second. What the prices
leave over a budget is moved where it loses least a second, what they leave under is spent where it gains most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.planning.pricing import TIE, choose

Array = np.ndarray
SAMPLED = 300  # waiting requests that the prices are computed from
OVERRUN = 10.0  # penalty of a worker-second over the budget, in relative quality


@dataclass(frozen=True)
class Alignment:
    """Level index by request (N), −1 where its deadline is unreachable; price of a worker-second by model (M)."""

    levels: Array
    price: Array

    @property
    def unreachable(self) -> Array:
        """Indices of the requests that no level can finish in time."""
        return np.flatnonzero(self.levels < 0)


@dataclass(frozen=True)
class ModelPools:
    """What the levels cost now: mean worker-`seconds` (L), `latency` alone (L), index of the `model` (L).

    A level whose model has none of the `workers` (M) is closed.
    """

    seconds: Array
    latency: Array
    model: Array
    workers: Array

    @property
    def open(self) -> Array:
        opened: Array = (self.workers[self.model] > 0) & np.isfinite(self.seconds)
        return opened


def align(
    pools: ModelPools, quality: Array, left: Array, floors: Array | None = None, budget: Array | None = None
) -> Alignment:
    """Levels for N waiting requests: predicted `quality` (N×L), seconds `left` to their deadlines (N), `floors` (N).

    `budget` (M) is the worker-seconds a model may spend on them; without it, its workers × the mean time left.
    """
    levels = np.full(len(quality), -1)
    price = np.zeros(len(pools.workers))
    allowed = allowed_levels(pools, quality, floors)
    reachable = np.flatnonzero(in_time(pools, allowed, left))
    if not len(reachable):
        return Alignment(levels, price)
    if budget is None:
        budget = pools.workers * float(np.mean(left[reachable]))
    usable = np.where(allowed[reachable], quality[reachable], -np.inf)
    price = _prices(pools, usable, budget)
    picked = _pick(pools, usable, price)
    _move(pools, usable, picked, budget, save=True)
    _move(pools, usable, picked, budget, save=False)
    levels[reachable] = picked
    return Alignment(levels, price)


def allowed_levels(pools: ModelPools, quality: Array, floors: Array | None) -> Array:
    """Open levels at or above the floor (N×L); where the floor leaves none, the best open one."""
    opened = np.broadcast_to(pools.open, quality.shape)
    reached = opened if floors is None else opened & (quality >= floors[:, None] - TIE)
    top = np.where(opened, quality, -np.inf)
    best = opened & (top >= top.max(axis=1, keepdims=True))
    return np.where(reached.any(axis=1, keepdims=True), reached, best)


def in_time(pools: ModelPools, allowed: Array, left: Array) -> Array:
    """Which requests (N) can still meet their deadlines, if all before them run at their fastest allowed level.

    Earliest deadline first, each model's workers as one fluid server; a request that would be late takes no time from
    those behind it.
    """
    n_models = len(pools.workers)
    service, answer = _fastest(pools, allowed)
    clock = [0.0] * n_models
    able = np.zeros(len(left), bool)
    for i in np.argsort(left, kind="stable"):
        ends = [clock[m] + answer[i, m] for m in range(n_models)]
        m = min(range(n_models), key=ends.__getitem__)
        if ends[m] <= left[i] + TIE:
            able[i] = True
            clock[m] += service[i, m]
    return able


def _fastest(pools: ModelPools, allowed: Array) -> tuple[Array, Array]:
    """Least pool-seconds and least latency of each request on each model (both N×M; infinite where not allowed)."""
    shape = (len(allowed), len(pools.workers))
    service, answer = np.full(shape, np.inf), np.full(shape, np.inf)
    for m in range(shape[1]):
        mine = pools.model == m
        if pools.workers[m] > 0 and mine.any():
            service[:, m] = np.where(allowed[:, mine], pools.seconds[mine], np.inf).min(axis=1) / pools.workers[m]
            answer[:, m] = np.where(allowed[:, mine], pools.latency[mine], np.inf).min(axis=1)
    return service, answer


def _pick(pools: ModelPools, usable: Array, price: Array) -> Array:
    finite = np.where(pools.open, pools.seconds, 0.0)
    return choose(usable, np.where(pools.open, price[pools.model] * finite, np.inf))


def _spent(pools: ModelPools, picked: Array) -> Array:
    return np.bincount(pools.model[picked], weights=pools.seconds[picked], minlength=len(pools.workers))


def _prices(pools: ModelPools, usable: Array, budget: Array) -> Array:
    """Price of a worker-second by model: duals of the transport problem over every k-th prompt, sorted by quality.

    A budget that cannot be kept is overrun at `OVERRUN` a second, so that there always is an answer.
    """
    from scipy.optimize import linprog  # 40 MB, which web processes, that only read plans, do without
    from scipy.sparse import coo_array

    finite = np.where(np.isfinite(usable), usable, 0.0)
    order = np.argsort(finite.sum(axis=1), kind="stable")
    rows = order[np.linspace(0, len(order) - 1, min(SAMPLED, len(order))).astype(int)]
    i, level = np.nonzero(np.isfinite(usable[rows]))
    models = len(budget)
    served = coo_array((np.ones(len(i)), (i, np.arange(len(i)))), (len(rows), len(i) + models))
    spent = coo_array(
        (
            np.concatenate([pools.seconds[level], -np.ones(models)]),
            (np.concatenate([pools.model[level], np.arange(models)]), np.arange(len(i) + models)),
        ),
        (models, len(i) + models),
    )
    answer = linprog(
        np.concatenate([-usable[rows][i, level], np.full(models, OVERRUN)]),
        A_ub=spent.tocsr(),
        b_ub=budget * len(rows) / len(usable),
        A_eq=served.tocsr(),
        b_eq=np.ones(len(rows)),
        method="highs",
    )
    return np.zeros(models) if answer.x is None else np.maximum(0.0, -answer.ineqlin.marginals)


def _move(pools: ModelPools, usable: Array, picked: Array, budget: Array, save: bool) -> None:
    """Change `picked` in place until budgets are kept (`save`: least loss a second first) or spent (best gain first).

    Prompts with equal losses move together under prices; here they move one by one.
    """
    seconds = np.where(pools.open, pools.seconds, np.inf)
    left = budget - _spent(pools, picked)
    for _ in range(len(seconds)):
        target, rate = _best_moves(pools, usable, picked, left, save)
        moved = False
        for i in np.flatnonzero(np.isfinite(rate))[np.argsort(-rate[np.isfinite(rate)], kind="stable")]:
            source, goal = pools.model[picked[i]], pools.model[target[i]]
            more = seconds[target[i]] - (seconds[picked[i]] if source == goal else 0.0)
            if (save and left[source] >= -TIE) or (more > 0 and more > left[goal] + TIE):
                continue
            left[source] += seconds[picked[i]]
            left[goal] -= seconds[target[i]]
            picked[i] = target[i]
            moved = True
        if not moved:
            return


def _best_moves(pools: ModelPools, usable: Array, picked: Array, left: Array, save: bool) -> tuple[Array, Array]:
    """For each request the level it had best move to, and the quality that gains a second (−inf: none)."""
    seconds = np.where(pools.open, pools.seconds, np.inf)
    rows = np.arange(len(picked))
    here = pools.model[picked]
    same = pools.model[None, :] == here[:, None]
    extra = np.where(same, seconds[None, :] - seconds[picked][:, None], seconds[None, :])
    gain = usable - usable[rows, picked][:, None]
    room = extra <= left[pools.model][None, :] + TIE
    if save:
        freed = np.where(same, -extra, np.where(room, seconds[picked][:, None], -1.0))
        able = (left[here] < -TIE)[:, None] & (freed > TIE) & np.isfinite(usable)
        rate = np.where(able, gain, -np.inf) / np.maximum(freed, TIE)
    else:
        able = (gain > TIE) & room
        rate = np.where(able, gain, -np.inf) / np.where(able, np.maximum(extra, TIE), 1.0)
    target = rate.argmax(axis=1)
    return target, rate[rows, target]
