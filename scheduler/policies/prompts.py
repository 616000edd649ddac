"""How Argus sees prompts: in classes for the planner, as price curves, within their floors, ties drawn by hash."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scheduler.planning.instance import PromptClass
from scheduler.planning.pricing import PriceCurve, price_curve, uniform_draw
from scheduler.policies.decisions import Epoch, Request

CLASSES = 8
LEAST_LOSS = 0.005  # of quality, that any level but the best is expected to have


def quality_caps(means: Sequence[float]) -> tuple[float, ...]:
    """The most that a prompt is expected to keep at each level, from the levels' mean quality.

    A prediction of 1.0, or above, for an approximation is within the predictor's error of a small loss. Without a cap
    such prompts would be lowered for nothing while there is time for the best level, the first of equals.
    """
    best = max(means)
    return tuple(max(best, 1.0) if i == means.index(best) else best - LEAST_LOSS for i in range(len(means)))


def prompt_classes(
    levels: Sequence[str], sample: np.ndarray, floors: np.ndarray, demand: float
) -> tuple[PromptClass, ...]:
    """Prompts that lose alike: the sample of each floor, sorted by mean quality, in up to `CLASSES` equal parts."""
    found = []
    for floor in np.unique(floors):
        rows = sample[floors == floor]
        parts = np.array_split(rows[np.argsort(rows.mean(axis=1), kind="stable")], min(CLASSES, len(rows)))
        for k, part in enumerate(parts):
            mean = dict(zip(levels, map(float, np.maximum(part.mean(axis=0), 0.0)), strict=True))
            reachable = min(float(floor), max(mean.values()))
            found.append(PromptClass(f"{floor:g}/{k}", demand * len(part) / len(sample), mean, reachable))
    return tuple(found)


def curve_of(
    levels: Sequence[int], sample: np.ndarray, floors: np.ndarray, seconds: np.ndarray, chosen: np.ndarray
) -> PriceCurve:
    """The price curve of the model that runs these levels, from the prompts that chose one of them (else from all)."""
    mine = list(levels)
    rows = np.isin(chosen, mine)
    rows = rows if rows.any() else np.ones(len(sample), bool)
    return price_curve(sample[rows][:, mine], seconds[mine], floors[rows])


def within_floor(request: Request, indices: Sequence[int]) -> Sequence[int]:
    """Levels at or above the request's floor, of these indices; the best of them where none is."""
    if request.floor <= 0:
        return indices
    reached = [i for i in indices if request.quality[i] >= request.floor - 1e-9]
    return reached or [max(indices, key=lambda i: request.quality[i])]


def break_tie(levels: Sequence[str], key: str, epoch: Epoch) -> str:
    """One of these levels, drawn by hash in the proportion of their planned shares."""
    if len(levels) == 1:
        return levels[0]
    shares = epoch.shares
    weights = np.cumsum([shares.get(level, 0.0) + 1e-9 for level in levels])
    at = uniform_draw(key, epoch.number)
    return levels[int(np.searchsorted(weights / weights[-1], at, side="right"))]
