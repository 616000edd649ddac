"""The strategies, a file each: where a request's loop begins and how many steps it has."""

from __future__ import annotations

from typing import Protocol

from core.errors import UnknownLevel
from core.families import Family
from core.levels import Level
from workers.engine.request import GenerationRequest
from workers.latent_cache.cache import Hit
from workers.pipelines.rows import Start
from workers.strategies import approximate_cache, cachequant, exact, feature_cache, fewer_steps, smaller_model


class Strategy(Protocol):
    """`hit` is what the latent cache found for the prompt, where it was asked."""

    def __call__(self, request: GenerationRequest, level: Level, family: Family, hit: Hit | None) -> Start: ...


STRATEGIES: dict[str, Strategy] = {
    "exact": exact.start,
    "sm": smaller_model.start,
    "fs": fewer_steps.start,
    "ac": approximate_cache.start,
    "fc": feature_cache.start,
    "cq": cachequant.start,
}


def begin(request: GenerationRequest, level: Level, family: Family, hit: Hit | None = None) -> Start:
    """Where a request begins at a level; raises `UnknownLevel` for a strategy that no worker can run."""
    if level.strategy not in STRATEGIES:
        raise UnknownLevel(f"No worker can run strategy {level.strategy!r} of level {level.id!r}.", field="level")
    return STRATEGIES[level.strategy](request, level, family, hit)
