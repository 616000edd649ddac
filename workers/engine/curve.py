"""What one denoising step costs by batch size: measured, smoothed, and fitted by a straight line."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

FORGETTING = 0.2  # weight of the newest measurement


def fit(points: Mapping[int, float]) -> tuple[float, float]:
    """Least-squares line through (rows, seconds): `(fixed_s, per_row_s)`, neither below zero."""
    sizes = np.fromiter(points.keys(), float)
    seconds = np.fromiter(points.values(), float)
    if len(sizes) == 1:
        return 0.0, float(seconds[0] / sizes[0])
    per_row, fixed = np.polyfit(sizes, seconds, 1)
    if fixed < 0:
        return 0.0, float(sizes @ seconds / (sizes @ sizes))
    return float(fixed), float(max(per_row, 0.0))


class StepCurve:
    """Seconds a step by rows. Starts from a profile's points, or from nothing, and follows what it sees."""

    def __init__(self, points: Mapping[int, float] | None = None) -> None:
        self.points: dict[int, float] = dict(points or {})

    def observe(self, rows: int, seconds: float) -> None:
        """Take in one measured step."""
        before = self.points.get(rows, seconds)
        self.points[rows] = before + FORGETTING * (seconds - before)

    def seconds(self, rows: int) -> float | None:
        """Expected seconds of a step with so many rows; None while nothing was measured."""
        if not self.points:
            return None
        if rows in self.points:
            return self.points[rows]
        fixed, per_row = fit(self.points)
        return fixed + per_row * rows
