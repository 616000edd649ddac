"""Seconds of one denoising step by the number of rows that share it: read from a profile, corrected while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

ENOUGH = 0.95  # share of the best throughput by batching from which more rows only wait for each other
NEWEST = 0.2  # weight of the newest measurement


@dataclass(frozen=True)
class StepCurve:
    """Measured points: `seconds[i]` is what a step of `sizes[i]` rows takes. `sizes` rise.

    Between the points lie straight lines; outside them the least-squares line through all points.
    """

    sizes: tuple[int, ...] = ()
    seconds: tuple[float, ...] = ()

    @classmethod
    def of(cls, points: Mapping[int, float]) -> StepCurve:
        """The curve through points {rows: seconds}."""
        rising = sorted(points.items())
        return cls(tuple(size for size, _ in rising), tuple(seconds for _, seconds in rising))

    @property
    def points(self) -> dict[int, float]:
        """{rows: seconds}."""
        return dict(zip(self.sizes, self.seconds, strict=True))

    @property
    def max_size(self) -> int:
        """The largest batch that was measured."""
        return self.sizes[-1]

    def step_s(self, rows: float) -> float:
        """Expected seconds of a step with so many rows, on the mean; 0 where nothing was measured."""
        if not self.sizes:
            return 0.0
        if self.sizes[0] <= rows <= self.sizes[-1]:
            return float(np.interp(rows, self.sizes, self.seconds))
        fixed, per_row = self.line
        return fixed + per_row * rows

    def observe(self, rows: int, seconds: float) -> StepCurve:
        """The curve with one more measured step: an exponential mean for each number of rows."""
        before = self.points.get(rows, seconds)
        return StepCurve.of({**self.points, rows: before + NEWEST * (seconds - before)})

    def speed(self, rows: int) -> float:
        """How fast each of so many rows goes, against running alone: 1 for one row, falling with the batch."""
        return self._speeds[min(max(rows, 1), self.max_size) - 1]

    @property
    def gain(self) -> float:
        """Most that batching multiplies throughput by (1 when the device gains nothing)."""
        return max(n * self._speeds[n - 1] for n in range(1, self.max_size + 1))

    @property
    def worthwhile(self) -> int:
        """The least batch that gives nearly all of the gain: more rows would only wait for each other."""
        return next(n for n in range(1, self.max_size + 1) if n * self.speed(n) >= ENOUGH * self.gain)

    @cached_property
    def line(self) -> tuple[float, float]:
        """Least-squares line through the points: `(fixed_s, per_row_s)`, neither below zero."""
        sizes, seconds = np.asarray(self.sizes, float), np.asarray(self.seconds, float)
        if len(sizes) == 1:
            return 0.0, float(seconds[0] / sizes[0])
        per_row, fixed = np.polyfit(sizes, seconds, 1)
        if fixed < 0:
            return 0.0, float(sizes @ seconds / (sizes @ sizes))
        return float(fixed), float(max(per_row, 0.0))

    @cached_property
    def _speeds(self) -> tuple[float, ...]:
        alone = self.step_s(1)
        return tuple(alone / self.step_s(n) for n in range(1, self.max_size + 1))
