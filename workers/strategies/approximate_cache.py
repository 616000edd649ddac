"""Approximate caching (NIRVANA, METHODS.md §2): start from step K of a similar prompt's run.

The nearer the cached prompt, the deeper a request may start. The latent goes in as it was left: the sampler begins at
K and no noise is added. Levels with the option `source = "image"` take MoDM's way instead: a finished latent, noised
to step K by this request's own seed, which works across the models of a family.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.families import Family, Level
from workers.engine.order import Order
from workers.pipelines.base import Start

if TYPE_CHECKING:
    from workers.strategies.latents import Hit

#: Share of the steps that may be skipped, and the cosine it takes: NIRVANA's 5/10/15/20/25 of 50.
SHARES = (0.10, 0.20, 0.30, 0.40, 0.50, 1.00)
COSINES = (0.65, 0.75, 0.85, 0.90, 0.95, 1.00)


def start(order: Order, level: Level, family: Family, hit: Hit | None = None) -> Start:
    """Resume at the hit's K where the level allows it that deep; else run every step, and say so."""
    steps, skip = level.schedule(order.steps, family.defaults.steps)
    if hit is None or hit.k > skip:
        return Start(steps, note="no cached latent is near enough: run in full")
    return Start(steps, hit.k, hit.latent, hit.clean, hit.similarity)


def cosine_for(share: float) -> float:
    """Similarity above which this share of the steps may be skipped, between the published points by a line."""
    return float(np.interp(share, SHARES, COSINES))


def deepest(similarity: float, skip: int, steps: int) -> int:
    """The largest K up to `skip` of `steps` that this similarity allows; 0 for none."""
    return next((k for k in range(skip, 0, -1) if similarity > cosine_for(k / steps)), 0)


def is_final(level: Level) -> bool:
    """Whether a level starts from finished latents (MoDM) and not from noisy ones (NIRVANA)."""
    return level.options.get("source") == "image"


def kept_depths(family: Family, model_id: str, steps: int) -> frozenset[int]:
    """The K that levels of this model start from, scaled to a run of so many steps; all steps for MoDM's levels."""
    cached = [level for level in family.levels.values() if level.strategy == "ac"]
    noisy = {
        level.schedule(steps, family.defaults.steps)[1]
        for level in cached
        if level.model == model_id and not is_final(level)
    }
    return frozenset(noisy | ({steps} if any(map(is_final, cached)) else set())) - {0}
