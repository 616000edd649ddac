"""How a level is chosen: the highest predicted quality minus price, among what floor and deadline allow.

The planner's prices are duals for the demand it expected. Between ticks demand is never exactly that, so the price is
corrected online. All levels of a model use the same thing, its workers' time, so their prices are `worth · seconds` of
one number, the worth of a worker-second. A sample of prompts answers to that number along a `Curve`: as worth rises,
seconds a request fall and quality is lost.

Which worth is right depends on what waits. With requests coming at a rate r, n of them waiting, W workers and room for N
before the last would be late, this is a birth-death chain whose service we may speed up at a loss. Its average-cost
optimality equation (Puterman 1994, §8.4; George & Harrison 2001 for service-rate control) is the recursion

    v[n+1] = (g + W · worth(v[n])) / r,    v[0] = 0,    v[N+1] = the value of one request in time

where v[n] is what one place less in the queue is worth, `worth(v)` the best gain of a worker-second that frees places of
value v, and g, the least average cost, is found by bisection (`queue_worths`). So an empty queue prices nothing, a filling one
prices ever more prompts down, and how steeply follows from rate, workers, target latency and prompts; nothing is tuned.

Everything is deterministic for a prompt and an epoch: exact ties, common when predictions are class means, are broken
by a hash of both in proportion to the planned shares.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any

import numpy as np

Array = np.ndarray
TIE = 1e-9
POINTS = 64  # of a curve: finer than the noise of any sample
IN_TIME = 2.0  # what one request in time is worth, in relative quality: two whole images
BISECTIONS = 40
GRID = 1.01  # rates are rounded to powers of this, so that the recursion runs a few times an epoch
LUMPS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)


@dataclass(frozen=True)
class Curve:
    """How prompts that choose freely answer to the worth of a worker-second: mean seconds fall, mean loss rises.

    `worth` in relative quality a worker-second, rising from 0; `seconds` a request; `loss` a request, of relative quality
    against the best its prompt could have: what everybody loses, priced or not, is nobody's choice.
    """

    worth: tuple[float, ...]
    seconds: tuple[float, ...]
    loss: tuple[float, ...]

    @cached_property
    def places(self) -> tuple[float, ...]:
        """Value of a place in the queue at which each worth is right: what the request costs, in time and in loss."""
        values = [w * s + q for w, s, q in zip(self.worth, self.seconds, self.loss, strict=True)]
        return tuple(accumulate(values, max))

    def worth_of(self, place: float) -> float:
        """Worth of a worker-second when freeing a place in the queue gains `place`: max over worths of (place − loss)/seconds."""
        if place <= self.places[0]:
            return max(0.0, (place - self.loss[0]) / self.seconds[0])
        if place >= self.places[-1]:
            return (place - self.loss[-1]) / self.seconds[-1]
        at = bisect_right(self.places, place)
        (v0, v1), (w0, w1) = self.places[at - 1 : at + 1], self.worth[at - 1 : at + 1]
        return w0 + (w1 - w0) * (place - v0) / (v1 - v0)

    def to_json(self) -> dict[str, Any]:
        return {name: list(values) for name, values in vars(self).items() if name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Curve:
        return cls(**{name: tuple(data[name]) for name in cls.__dataclass_fields__})


def curve(quality: Array, seconds: Array, floors: Array | None = None) -> Curve:
    """The curve of a sample: predicted `quality` (N×L), worker-`seconds` a request by level (L), `floors` (N).

    Its knots are quantiles of the upgrades themselves: quality gained a second between two levels of one prompt.
    """
    allowed = _allowed(quality, floors)
    gain = quality[:, :, None] - quality[:, None, :]
    extra = (seconds[:, None] - seconds[None, :])[None]
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.where((extra > 0) & allowed[:, :, None] & allowed[:, None, :], gain / extra, -1.0)
    steps = steps[(steps > 0) & np.isfinite(steps)]
    knots = np.zeros(1)
    if len(steps):
        knots = np.concatenate([knots, np.quantile(steps, np.linspace(0, 1, POINTS - 2)), [steps.max() * (1 + 1e-6)]])
    value = np.where(allowed, quality, -np.inf)[None] - knots[:, None, None] * seconds
    picked = value.argmax(axis=2)
    best = np.where(allowed, quality, -np.inf).max(axis=1)
    loss = best - quality[np.arange(len(quality))[None], picked]
    return Curve(*(tuple(map(float, line)) for line in (knots, seconds[picked].mean(axis=1), loss.mean(axis=1))))


def worth_now(curve: Curve, rate: float, waiting: float, workers: float, room: float, dispersion: float = 1.0) -> float:
    """Worth of a worker-second at this moment, in relative quality.

    `rate` requests a second come in for `workers`; `waiting` are queued, of `room` that could be before the last is late.
    `dispersion` is the variance of arrivals over their mean. The chain's service is as random as its arrivals, where real
    service times hardly vary; so the queue's variance is right when both come in lumps of half that size.
    """
    steady_rate = GRID ** round(math.log(max(rate, 1e-3)) / math.log(GRID))
    lump = min(LUMPS, key=lambda size: abs(size - dispersion / 2))
    table = queue_worths(curve, steady_rate, round(workers, 2), max(1, int(room / lump)), lump)
    at = min(max(waiting, 0.0) / lump, len(table) - 1.0)
    low = int(at)
    high = min(low + 1, len(table) - 1)
    return table[low] + (table[high] - table[low]) * (at - low)


@lru_cache(maxsize=256)
def queue_worths(curve: Curve, rate: float, workers: float, room: int, lump: float = 1.0) -> tuple[float, ...]:
    """Worth of a worker-second with 0, 1, … `room` lumps waiting: the optimality recursion of the module docstring."""
    low, high = 0.0, rate * IN_TIME
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        _, over = _recursion(curve, rate / lump, workers / lump, room, middle)
        low, high = (low, middle) if over else (middle, high)
    worths, _ = _recursion(curve, rate / lump, workers / lump, room, low)
    return tuple(worths)


def _recursion(curve: Curve, rate: float, workers: float, room: int, cost: float) -> tuple[list[float], bool]:
    """Worths by number waiting for a guessed average cost, and whether the guess was too high."""
    place, worths = 0.0, []
    for _ in range(room + 1):
        worths.append(curve.worth_of(place))
        place = (cost + workers * worths[-1]) / rate
        if place > IN_TIME:
            return worths + [curve.worth_of(IN_TIME)] * (room + 1 - len(worths)), True
    return worths, False


def choose(
    quality: Array,
    prices: Array,
    floors: Array | None = None,
    latency: Array | None = None,
    left: Array | None = None,
    keys: Sequence[str] | None = None,
    epoch: int = 0,
    shares: Array | None = None,
) -> Array:
    """Level index of each request (N): argmax `quality` (N×L) − `prices` (L) over what is allowed.

    `floors` (N) are hard. Levels slower (`latency`, L, seconds) than the time `left` (N) are passed over while a faster
    one is allowed. A closed level has an infinite price; with all closed, the best quality wins. Ties go by `shares`
    (L) and a hash of key and epoch.
    """
    allowed = _allowed(quality, floors)
    opened = allowed & np.isfinite(prices)
    allowed = np.where(opened.any(axis=1, keepdims=True), opened, allowed)
    if latency is not None and left is not None:
        timely = allowed & (latency[None, :] <= left[:, None])
        fastest = np.where(allowed, latency, np.inf)
        quickest = fastest == fastest.min(axis=1, keepdims=True)
        allowed = np.where(timely.any(axis=1, keepdims=True), timely, allowed & quickest)
    worth = np.where(allowed, quality - np.where(np.isfinite(prices), prices, 0.0), -np.inf)
    best = worth.argmax(axis=1)
    ties = worth >= worth.max(axis=1, keepdims=True) - TIE
    if keys is not None:
        for i in np.flatnonzero(ties.sum(axis=1) > 1):
            best[i] = _drawn(np.flatnonzero(ties[i]), shares, draw(keys[int(i)], epoch))
    return best


def draw(key: str, epoch: int) -> float:
    """A number in [0, 1) that is always the same for a prompt and an epoch."""
    digest = hashlib.blake2b(f"{epoch}\0{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _drawn(tied: Array, shares: Array | None, at: float) -> int:
    weights = np.ones(len(tied)) if shares is None or shares[tied].sum() <= 0 else shares[tied]
    return int(tied[np.searchsorted(np.cumsum(weights) / weights.sum(), at, side="right").clip(max=len(tied) - 1)])


def _allowed(quality: Array, floors: Array | None) -> Array:
    """Levels at or above the floor; where none is, the best one."""
    if floors is None:
        return np.ones(quality.shape, bool)
    reached = quality >= floors[:, None] - TIE
    best = quality >= quality.max(axis=1, keepdims=True) - TIE
    return np.where(reached.any(axis=1, keepdims=True), reached, best)
