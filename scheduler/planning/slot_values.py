"""The recursion of `scheduler.planning.pricing`, v[n+1] = (g + W · price(v[n])) / r, however long, in a few steps.

`price` is piecewise linear, and so is one step: within a piece v[n+1] = A + B · v[n], whose m-th iterate is

    v[n+m] = v[n] + d · (B^m − 1) / (B − 1),    d = v[n+1] − v[n]

So a piece is crossed at once, however many lumps that takes: a thousand workers cost what eight do. The values are
those of the recursion but for rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

FLAT = 1e-12  # a step that does not depend on where it starts


@dataclass(frozen=True)
class Piece:
    """price(v) = at_zero + slope · v for v below `end`, and from where the piece before ends."""

    end: float
    at_zero: float
    slope: float


@dataclass(frozen=True)
class Chain:
    """The recursion for one curve, `rate` r and `workers` W, both in lumps, up to a slot value of `most`."""

    pieces: Sequence[Piece]
    rate: float
    workers: float
    most: float

    def overflows(self, cost: float, room: int) -> bool:
        """Whether the values of 0 … `room` + 1 lumps exceed the most, for an average cost g."""
        *_, (_, _, _, value) = self._runs(cost, room)
        return value > self.most

    def values(self, cost: float, room: int) -> np.ndarray:
        """The values of 0, 1, … `room` lumps; `most` from where they exceed it."""
        found = np.full(room + 1, self.most)
        at, start = 0, 0.0
        for steps, grows, by, end in self._runs(cost, room):
            count = min(steps, room + 1 - at)
            passed = np.arange(count, dtype=float)
            if grows < FLAT or not by:
                passed = np.minimum(passed, 1.0)
            elif grows != 1.0:
                passed = np.expm1(passed * math.log(grows)) / (grows - 1)
            found[at : at + count] = start + by * passed
            at, start = at + steps, end
        return np.asarray(np.minimum(found, self.most))

    def _runs(self, cost: float, room: int) -> Iterator[tuple[int, float, float, float]]:
        """Steps within one piece: how many, B, d, and the value after them. Ends past the most, or after `room` + 1."""
        value, left = 0.0, room + 1
        for piece in self.pieces:
            if value >= piece.end:
                continue
            end = min(piece.end, self.most)
            grows = self.workers * piece.slope / self.rate
            after = (cost + self.workers * (piece.at_zero + piece.slope * value)) / self.rate
            by = max(0.0, after - value)  # values never fall but by rounding
            steps = min(left, _steps_past(end - value, by, grows))
            value += by * _grown(steps, grows) if by else 0.0
            left -= steps
            yield steps, grows, by, value
            if not left or value > self.most:
                return


def _grown(steps: int, grows: float) -> float:
    """(B^m − 1) / (B − 1)."""
    if grows < FLAT:
        return 1.0
    return steps if grows == 1.0 else math.expm1(steps * math.log(grows)) / (grows - 1)


def _steps_past(distance: float, by: float, grows: float) -> int:
    """Steps until so far above the start, or beyond; as good as infinite where that is never reached."""
    never = 2**62
    if by <= 0:
        return never
    if grows < FLAT:
        return 1 if by >= distance else never
    inside = distance * (grows - 1) / by
    if inside <= -1:
        return never
    steps = distance / by if grows == 1.0 else math.log1p(inside) / math.log(grows)
    return max(1, math.ceil(steps - 1e-9))
