"""How a level is chosen: the highest predicted quality minus price, among what floor and deadline allow.

The planner's prices are duals for the demand it expected. Between ticks demand is never exactly that, so the price is
corrected online. All levels of a model use the same resource, its workers' time, so their prices are
`shadow price · seconds`, with one shadow price of a worker-second for the model. A sample of prompts responds to it
along a `PriceCurve`: as the price rises, mean seconds a request fall and quality is lost.

Which price is right depends on the queue. With requests coming at a rate r, n of them waiting, W workers and room for N
before the last would be late, this is a birth-death chain whose service can be sped up at a loss of quality. Its
average-cost optimality equation (Puterman 1994, §8.4; George & Harrison 2001 for service-rate control) is the recursion

    v[n+1] = (g + W · price(v[n])) / r,    v[0] = 0,    v[N+1] = the value of one request in time

where v[n], the slot value, is the gain of one request less in the queue; `price(v)` is the best gain of a
worker-second that frees queue slots of value v; and g, the least average cost, is found by bisection
(`prices_by_queue_length`, `scheduler.planning.slot_values`). So an empty queue prices nothing, a filling one prices
ever more prompts down, and how steeply follows from rate, workers, target latency and prompts. Nothing is tuned.

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
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from scheduler.planning.slot_values import Chain, Piece

Array = np.ndarray
TIE = 1e-9
POINTS = 64  # knots of a curve: finer than the noise of any sample
VALUE_IN_TIME = 2.0  # of one request in time, in relative quality: two whole images
BISECTIONS = 40
GRID = 1.01  # rates are rounded to powers of this, so that the recursion runs a few times an epoch
LUMPS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)


@dataclass(frozen=True)
class PriceCurve:
    """How prompts that choose freely respond to the price of a worker-second: mean seconds fall, mean loss rises.

    `price` in relative quality a worker-second, rising from 0; `seconds` a request; `loss` a request, of relative
    quality against the best level its prompt could have: a loss that every level has is not counted.
    """

    price: tuple[float, ...]
    seconds: tuple[float, ...]
    loss: tuple[float, ...]

    @cached_property
    def slot_values(self) -> tuple[float, ...]:
        """Value of a queue slot at which each price is right: what a request costs there, in time and in quality."""
        values = [p * s + q for p, s, q in zip(self.price, self.seconds, self.loss, strict=True)]
        return tuple(accumulate(values, max))

    def price_at(self, slot_value: float) -> float:
        """A worker-second's price when freeing a slot gains `slot_value`: the largest (slot_value − loss) / seconds."""
        if slot_value <= self.slot_values[0]:
            return max(0.0, (slot_value - self.loss[0]) / self.seconds[0])
        if slot_value >= self.slot_values[-1]:
            return (slot_value - self.loss[-1]) / self.seconds[-1]
        at = bisect_right(self.slot_values, slot_value)
        (v0, v1), (p0, p1) = self.slot_values[at - 1 : at + 1], self.price[at - 1 : at + 1]
        return p0 + (p1 - p0) * (slot_value - v0) / (v1 - v0)

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """`price_at` as straight lines, by rising slot value."""
        first, last = self.seconds[0], self.seconds[-1]
        found = [Piece(min(self.loss[0], self.slot_values[0]), 0.0, 0.0)]
        found.append(Piece(self.slot_values[0], -self.loss[0] / first, 1 / first))
        knots = list(zip(self.slot_values, self.price, strict=True))
        for (v0, p0), (v1, p1) in pairwise(knots):
            if v1 > v0:
                slope = (p1 - p0) / (v1 - v0)
                found.append(Piece(v1, p0 - slope * v0, slope))
        return (*found, Piece(math.inf, -self.loss[-1] / last, 1 / last))

    def prices_at(self, slot_values: Array) -> Array:
        """`price_at` of many."""
        ends = np.array([piece.end for piece in self.pieces])
        at = np.searchsorted(ends, slot_values, side="right").clip(max=len(ends) - 1)
        at_zero, slope = (np.array([getattr(piece, name) for piece in self.pieces]) for name in ("at_zero", "slope"))
        return np.asarray(at_zero[at] + slope[at] * slot_values)

    def to_json(self) -> dict[str, Any]:
        return {name: list(values) for name, values in vars(self).items() if name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PriceCurve:
        return cls(**{name: tuple(data[name]) for name in cls.__dataclass_fields__})


def price_curve(quality: Array, seconds: Array, floors: Array | None = None) -> PriceCurve:
    """The curve of a sample: predicted `quality` (N×L), worker-`seconds` a request by level (L), `floors` (N).

    Its knots are quantiles of the upgrades themselves: quality gained a second between two levels of one prompt.
    """
    allowed = _allowed(quality, floors)
    knots = _knots(quality, seconds, allowed)
    value = np.where(allowed, quality, -np.inf)[None] - knots[:, None, None] * seconds
    picked = value.argmax(axis=2)
    best = np.where(allowed, quality, -np.inf).max(axis=1)
    loss = best - quality[np.arange(len(quality))[None], picked]
    return PriceCurve(*(tuple(map(float, line)) for line in (knots, seconds[picked].mean(axis=1), loss.mean(axis=1))))


def _knots(quality: Array, seconds: Array, allowed: Array) -> Array:
    gain = quality[:, :, None] - quality[:, None, :]
    extra = (seconds[:, None] - seconds[None, :])[None]
    with np.errstate(divide="ignore", invalid="ignore"):
        upgrades = np.where((extra > 0) & allowed[:, :, None] & allowed[:, None, :], gain / extra, -1.0)
    upgrades = upgrades[(upgrades > 0) & np.isfinite(upgrades)]
    if not len(upgrades):
        return np.zeros(1)
    quantiles = np.quantile(upgrades, np.linspace(0, 1, POINTS - 2))
    return np.concatenate([np.zeros(1), quantiles, [upgrades.max() * (1 + 1e-6)]])


def shadow_price(
    curve: PriceCurve, rate: float, waiting: float, workers: float, room: float, dispersion: float = 1.0
) -> float:
    """Price of a worker-second now, in relative quality.

    `rate` requests a second come in for `workers`; `waiting` are queued, of `room` that could be before the last is
    late. `dispersion` is the variance of arrivals over their mean. The chain's service is as random as its arrivals,
    where real service times hardly vary; the queue's variance is right when both come in lumps of half that size.
    """
    steady_rate = GRID ** round(math.log(max(rate, 1e-3)) / math.log(GRID))
    lump = min(LUMPS, key=lambda size: abs(size - dispersion / 2))
    table = prices_by_queue_length(curve, steady_rate, round(workers, 2), max(1, int(room / lump)), lump)
    at = min(max(waiting, 0.0) / lump, len(table) - 1.0)
    low = int(at)
    high = min(low + 1, len(table) - 1)
    return table[low] + (table[high] - table[low]) * (at - low)


@lru_cache(maxsize=256)
def prices_by_queue_length(
    curve: PriceCurve, rate: float, workers: float, room: int, lump: float = 1.0
) -> tuple[float, ...]:
    """Price of a worker-second with 0, 1, … `room` lumps waiting: the optimality recursion of the module docstring."""
    chain = Chain(curve.pieces, rate / lump, workers / lump, VALUE_IN_TIME)
    low, high = 0.0, rate * VALUE_IN_TIME
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if chain.overflows(middle, room) else (middle, high)
    return tuple(curve.prices_at(chain.values(low, room)).tolist())


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
        allowed = _in_time(allowed, latency, left)
    value = np.where(allowed, quality - np.where(np.isfinite(prices), prices, 0.0), -np.inf)
    best: Array = value.argmax(axis=1)
    ties = value >= value.max(axis=1, keepdims=True) - TIE
    if keys is not None:
        for i in np.flatnonzero(ties.sum(axis=1) > 1):
            best[i] = _drawn(np.flatnonzero(ties[i]), shares, uniform_draw(keys[int(i)], epoch))
    return best


def _in_time(allowed: Array, latency: Array, left: Array) -> Array:
    """The allowed levels that end within the time left; the fastest of them where none does."""
    in_time = allowed & (latency[None, :] <= left[:, None])
    fastest = np.where(allowed, latency, np.inf)
    fastest_only = allowed & (fastest == fastest.min(axis=1, keepdims=True))
    return np.where(in_time.any(axis=1, keepdims=True), in_time, fastest_only)


def uniform_draw(key: str, epoch: int) -> float:
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
