"""Decoupled error correction (CacheQuant, arXiv:2503.01323, §3.4): a·x + b by channel.

Two errors are corrected apart. Caching: at a reused step, the deep feature F_t from the one computed last.
Quantisation: on top of that, the float output of a step from the quantised one. Both fits need first and second moments
alone, which are summed up prompt by prompt.

The paper fits by least squares, a = cov/var, which draws features towards their mean. Here features get the mean and
deviation of F_t, a = σ_t/σ_s (`docs/decisions/0116`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Fit = Literal["moments", "least squares"]

LITTLE = 1e-12  # of variance: a channel that does not vary is shifted, not scaled


@dataclass
class FeatureMoments:
    """Moments of the deep features of whole runs of T steps: by step and channel, and between every two steps.

    `mean` [T, C] is Σx, `product` [T, T, C] is Σx_s·x_t, both over `count` values a channel; `distance` [T, T] is
    Σ‖F_t − F_s‖₁ over runs, `effect` [T, T] how far step t would end from where it does, over the features of step s.
    """

    mean: np.ndarray
    product: np.ndarray
    distance: np.ndarray
    effect: np.ndarray
    count: int = 0
    runs: int = 0

    @classmethod
    def zero(cls, steps: int, channels: int) -> FeatureMoments:
        between = (steps, steps)
        return cls(np.zeros((steps, channels)), np.zeros((*between, channels)), np.zeros(between), np.zeros(between))

    def add(self, features: np.ndarray, effect: np.ndarray) -> None:
        """Take in one run: features [T, C, n], n values a channel (halves × height × width), and its effects [T, T]."""
        wide = features.astype(np.float64)
        self.mean += wide.sum(-1)
        self.product += np.einsum("scn,tcn->stc", wide, wide, optimize=True)
        self.distance += [[float(np.abs(b - a).sum()) for b in features] for a in features]
        self.effect += effect
        self.count += features.shape[-1]
        self.runs += 1

    def correction(self, starts: tuple[int, ...], fit: Fit = "moments") -> tuple[np.ndarray, np.ndarray]:
        """(a, b), each [T, C]: F_t ≈ a[t]·F_start + b[t]. At the starts nothing is to be corrected: 1 and 0."""
        steps, channels = self.mean.shape
        scale, shift = np.ones((steps, channels)), np.zeros((steps, channels))
        for t in range(steps):
            s = max(start for start in starts if start <= t)
            if s != t:
                x, y, xx, xy = self.mean[s], self.mean[t], self.product[s, s], self.product[s, t]
                if fit == "moments":
                    scale[t], shift[t] = matched(self.count, x, y, xx, self.product[t, t])
                else:
                    scale[t], shift[t] = line(self.count, x, y, xx, xy)
        return scale, shift

    def error(self, starts: tuple[int, ...], scale: np.ndarray, shift: np.ndarray) -> float:
        """Root mean square of a·F_start + b − F_t over the reused steps, relative to that of F_t about its mean."""
        wrong = spread = 0.0
        for t in range(len(self.mean)):
            s, n = max(start for start in starts if start <= t), self.count
            x, y, xx, yy, xy = (self.mean[s], self.mean[t], self.product[s, s], self.product[t, t], self.product[s, t])
            a, b = scale[t], shift[t]
            if s != t:
                wrong += float((a * a * xx + n * b * b + yy + 2 * a * b * x - 2 * a * xy - 2 * b * y).sum())
                spread += float((yy - y * y / n).sum())
        return float(np.sqrt(max(0.0, wrong) / spread)) if spread else 0.0


@dataclass
class OutputMoments:
    """Moments of a quantised output x and the float output y of the same inputs, by step and channel [T, C]."""

    x: np.ndarray
    y: np.ndarray
    xx: np.ndarray
    xy: np.ndarray
    count: np.ndarray  # values a channel, by step [T]

    @classmethod
    def zero(cls, steps: int, channels: int) -> OutputMoments:
        x, y, xx, xy = np.zeros((4, steps, channels))
        return cls(x, y, xx, xy, np.zeros(steps))

    def add(self, step: int, quantised: np.ndarray, exact: np.ndarray) -> None:
        """Take in one step's outputs, each [C, n]."""
        x, y = quantised.astype(np.float64), exact.astype(np.float64)
        for total, value in ((self.x, x), (self.y, y), (self.xx, x * x), (self.xy, x * y)):
            total[step] += value.sum(-1)
        self.count[step] += x.shape[-1]

    def correction(self) -> tuple[np.ndarray, np.ndarray]:
        """(a, b), each [T, C]: y ≈ a·x + b."""
        lines = [line(n, *sums) for n, *sums in zip(self.count, self.x, self.y, self.xx, self.xy, strict=True)]
        return np.stack([a for a, _ in lines]), np.stack([b for _, b in lines])


def matched(
    count: float, x: np.ndarray, y: np.ndarray, xx: np.ndarray, yy: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(a, b) by channel with which a·x + b has the mean and deviation of y: a = σ_y/σ_x, b = ȳ − a·x̄. All are [C]."""
    mean_x, mean_y = x / count, y / count
    of_x, of_y = xx / count - mean_x**2, yy / count - mean_y**2
    varies = of_x > LITTLE * np.maximum(1.0, mean_x**2)
    a = np.where(varies, np.sqrt(np.maximum(of_y, 0.0) / np.where(varies, of_x, 1.0)), 1.0)
    return a, mean_y - a * mean_x


def line(count: float, x: np.ndarray, y: np.ndarray, xx: np.ndarray, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least squares y ≈ a·x + b by channel from sums over `count` values: a = cov/var, b = ȳ − a·x̄. All are [C]."""
    mean_x, mean_y = x / count, y / count
    variance, covariance = xx / count - mean_x**2, xy / count - mean_x * mean_y
    varies = variance > LITTLE * np.maximum(1.0, mean_x**2)
    a = np.where(varies, covariance / np.where(varies, variance, 1.0), 1.0)
    return a, mean_y - a * mean_x
