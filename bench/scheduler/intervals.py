"""Paired bootstrap intervals over seeds.

Seeds are drawn again, with replacement; the draws are the same for all policies, which met the same requests under each
seed. A figure is an array: as measured, then as pooled from each draw's seeds. Differences, ratios and extremes of
figures are those of their arrays, so their intervals are paired.

Percentile intervals of few seeds are too narrow: see `HOLDS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

DRAWS = 2000
LEVEL = 0.95
SLACK = 1e-9  # of a margin that is none
HOLDS = {2: 0.50, 3: 0.73, 5: 0.83, 8: 0.89, 20: 0.93}  # by seeds: how often they hold the mean of a normal scatter


@lru_cache
def draws(seeds: int) -> np.ndarray:
    """How often each seed counts: once each in the first row, then in each draw (1 + DRAWS, seeds)."""
    again = np.random.default_rng(seeds).multinomial(seeds, np.full(seeds, 1 / seeds), DRAWS)
    return np.vstack([np.ones(seeds), again]) if seeds > 1 else np.ones((1, 1))


def drawn(values: Sequence[float], weights: Sequence[float] | None = None) -> np.ndarray:
    """A figure of each seed (S), pooled by weight: as measured and in each draw (1 + DRAWS, or 1 for a single seed)."""
    counts = draws(len(values)) * np.asarray(weights if weights is not None else np.ones(len(values)), float)
    pooled: np.ndarray = counts @ np.asarray(values, float) / np.maximum(counts.sum(axis=1), 1e-12)
    return pooled


def interval(figure: np.ndarray) -> tuple[float, float] | None:
    """The middle 95 % of the draws; None for a single seed, which says nothing of the spread."""
    if len(figure) == 1:
        return None
    outside = (1 - LEVEL) / 2
    low, high = np.quantile(figure[1:], [outside, 1 - outside], method="nearest")
    return float(low), float(high)


def verdict(margin: np.ndarray) -> str:
    """Whether a goal is reached, of which `margin` says by how much (below 0: it is missed)."""
    low, high = interval(margin) or (float(margin[0]), float(margin[0]))
    if low >= -SLACK:
        return "reached"
    return "**not reached**" if high < -SLACK else "**not shown**"


def shown(figure: np.ndarray, digits: int = 2, scale: float = 100.0) -> str:
    """The figure with its interval, in percent unless told otherwise."""
    text, between = f"{scale * figure[0]:.{digits}f}", interval(figure)
    return text if between is None else f"{text} ({' to '.join(f'{scale * end:.{digits}f}' for end in between)})"


def figure(figures: Mapping[str, Any], key: str) -> np.ndarray:
    """A policy's figure from what `pooling.pooled` kept of its seeds."""
    if key not in figures.get("by_seed", {}):
        return np.array([float(figures[key])])
    seeds = figures["by_seed"]
    return drawn(seeds[key], seeds.get(WEIGHTS.get(key, "requests")))


WEIGHTS = {  # what a seed's figure counts by; requests, if it is not here
    "quality_in_time": "in_time",
    "lost_in_time": "in_time",
    "burst_per_minute": "burst_minutes",
}
