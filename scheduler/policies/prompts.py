"""How Argus sees prompts: in classes for the planner, within their floors, ties drawn by hash."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scheduler.planning.instance import PromptClass
from scheduler.planning.pricing import uniform_draw
from scheduler.policies.decisions import Epoch, Request

CLASSES = 8


def prompt_classes(
    levels: Sequence[str], sample: np.ndarray, floors: np.ndarray, demand: float
) -> tuple[PromptClass, ...]:
    """Prompts that lose alike: the sample of each distinct floor, sorted by mean quality, in up to `CLASSES` equal parts."""
    found = []
    for floor in np.unique(floors):
        rows = sample[floors == floor]
        parts = np.array_split(rows[np.argsort(rows.mean(axis=1), kind="stable")], min(CLASSES, len(rows)))
        for k, part in enumerate(parts):
            mean = dict(zip(levels, map(float, np.maximum(part.mean(axis=0), 0.0)), strict=True))
            reachable = min(float(floor), max(mean.values()))
            found.append(PromptClass(f"{floor:g}/{k}", demand * len(part) / len(sample), mean, reachable))
    return tuple(found)


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
