"""How a level is chosen: the highest predicted quality minus price, among what floor and deadline allow.

The planner's prices are duals for the demand it expected. Between ticks demand is never exactly that, so the price is
corrected online: all levels of a model use the same thing, its workers' time, so their prices are `worth · seconds` of
one number, the worth of a worker-second. How a sample of prompts answers to that number is a falling curve from worth to
mean seconds a request (`Curve`); the pool's load says how many seconds a request may take now; the curve read
backwards gives the worth at which the realised shares fit (`worth_now`). This is dual ascent with the step replaced by
the exact line search that the sample allows.

Everything is deterministic for a prompt and an epoch: exact ties, common when predictions are class means, are broken
by a hash of both in proportion to the planned shares.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray
TIE = 1e-9
POINTS = 64  # of a curve: finer than the noise of any sample


@dataclass(frozen=True)
class Curve:
    """Mean worker-seconds a request by worth of a worker-second, for prompts that choose freely: worth rises, seconds fall.

    `worth` in relative quality a worker-second, from 0.
    """

    worth: tuple[float, ...]
    seconds: tuple[float, ...]

    def price(self, seconds: float) -> float:
        """Least worth at which requests take `seconds` on average, or less; the highest known when none does."""
        if seconds >= self.seconds[0]:
            return 0.0
        if seconds < self.seconds[-1]:
            return self.worth[-1]
        at = bisect_left(self.seconds, -seconds, key=lambda s: -s)
        s0, s1, w0, w1 = self.seconds[at - 1], self.seconds[at], self.worth[at - 1], self.worth[at]
        return w1 if s0 <= s1 else w0 + (w1 - w0) * (s0 - seconds) / (s0 - s1)

    def to_json(self) -> dict[str, Any]:
        return {"worth": list(self.worth), "seconds": list(self.seconds)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Curve:
        return cls(tuple(data["worth"]), tuple(data["seconds"]))


def curve(quality: Array, seconds: Array, floors: Array | None = None) -> Curve:
    """The curve of a sample: predicted `quality` (N×L), worker-`seconds` a request by level (L), `floors` (N).

    Its knots are the upgrades themselves: quality gained a second between two levels of one prompt.
    """
    allowed = _allowed(quality, floors)
    gain = quality[:, :, None] - quality[:, None, :]
    extra = (seconds[:, None] - seconds[None, :])[None]
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.where((extra > 0) & allowed[:, :, None] & allowed[:, None, :], gain / extra, -1.0)
    steps = steps[(steps > 0) & np.isfinite(steps)]
    if not len(steps):
        knots = np.zeros(1)
    else:
        knots = np.concatenate([[0.0], np.quantile(steps, np.linspace(0, 1, POINTS - 2)), [steps.max() * (1 + 1e-6)]])
    value = np.where(allowed, quality, -np.inf)[None] - knots[:, None, None] * seconds
    mean = seconds[value.argmax(axis=2)].mean(axis=1)
    mean = np.minimum.accumulate(mean)
    return Curve(tuple(map(float, knots)), tuple(map(float, mean)))


def worth_now(curve: Curve, rate: float, waiting: float, workers: float, keep_s: float, settle_s: float) -> float:
    """Worth of a worker-second at this moment: what makes the pool keep up and its queue settle.

    `rate` requests a second come in and `waiting` are queued for `workers`. The queue is steered to `keep_s` seconds of
    arrivals (a small stock, so that no worker idles while others' prompts are being cheapened) within `settle_s`.
    """
    wanted = rate + (waiting - rate * keep_s) / settle_s
    return curve.price(workers / wanted) if wanted > TIE else 0.0


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
