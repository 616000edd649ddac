"""The steps after which latents are stored, for a family's levels to start from."""

from __future__ import annotations

from core.cached_latents import is_final
from core.families import Family


def kept_depths(family: Family, model_id: str, steps: int) -> frozenset[int]:
    """The K that levels of this model start from, scaled to a run of so many steps; all steps for MoDM's levels."""
    cached = [level for level in family.levels.values() if level.looks_up]
    noisy = {
        level.schedule(steps, family.defaults.steps)[1]
        for level in cached
        if level.model == model_id and not is_final(level)
    }
    return frozenset(noisy | ({steps} if any(map(is_final, cached)) else set())) - {0}
