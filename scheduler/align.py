"""Re-assignment of what waits: least predicted loss within the workers' time, the hopeless set aside first.

A new epoch finds requests queued under old prices, or for levels nobody serves any more. `align` gives each a level
again: minimise Σ loss subject to the worker-seconds each model can give the backlog. As a transport problem it has N×L
variables; its dual has one number a model, the worth of a worker-second, and is found by bisection, so that 10,000
waiting take a fraction of a second. What rounding leaves over a budget is moved where that loses least a second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.route import TIE, choose

Array = np.ndarray
SWEEPS, HALVINGS = 6, 24


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
    levels[keep] = _fit(lanes, inside, _pick(lanes, inside, worth), budget)
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
    """Dual prices by coordinate bisection: least worth at which a model's requests fit its budget."""
    worth = np.zeros(len(budget))
    finite = lanes.seconds[lanes.open]
    top = 1.0 / max(TIE, float(np.min(np.diff(np.unique(finite)), initial=float(finite.max()))))
    for _ in range(SWEEPS if len(budget) > 1 else 1):
        before = worth.copy()
        for m in np.flatnonzero(lanes.workers > 0):
            worth[m] = _least(lanes, inside, worth, int(m), budget[m], top)
        if np.allclose(before, worth, atol=1e-6):
            break
    return worth


def _least(lanes: Lanes, inside: Array, worth: Array, m: int, budget: float, top: float) -> float:
    def fits(value: float) -> bool:
        worth[m] = value
        return bool(_spent(lanes, _pick(lanes, inside, worth))[m] <= budget + TIE)

    if fits(0.0):
        return 0.0
    low, high = 0.0, top
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def _fit(lanes: Lanes, inside: Array, picked: Array, budget: Array) -> Array:
    """Spend what the prices leave (a class of equal prompts moves as one under prices): best upgrades that still fit."""
    seconds = np.where(lanes.open, lanes.seconds, np.inf)
    left = budget - _spent(lanes, picked)
    rows = np.arange(len(picked))
    for _ in range(len(lanes.seconds)):
        same = lanes.model[None, :] == lanes.model[picked][:, None]
        extra = seconds[None, :] - np.where(same, seconds[picked][:, None], 0.0)
        gain = inside - inside[rows, picked][:, None]
        able = (gain > TIE) & (extra <= left[lanes.model][None, :] + TIE)
        rate = np.where(able, gain, -np.inf) / np.maximum(extra, TIE)
        target = rate.argmax(axis=1)
        order = np.argsort(-rate[rows, target], kind="stable")
        moved = False
        for i in order:
            if not np.isfinite(rate[i, target[i]]):
                break
            if extra[i, target[i]] <= left[lanes.model[target[i]]] + TIE:
                left[lanes.model[picked[i]]] += lanes.seconds[picked[i]]
                left[lanes.model[target[i]]] -= lanes.seconds[target[i]]
                picked[i] = target[i]
                moved = True
        if not moved:
            break
    return picked
