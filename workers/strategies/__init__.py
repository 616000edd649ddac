"""The strategies, a file each: where a request's loop begins and how its steps run."""

from __future__ import annotations

from typing import Protocol

from core.errors import UnknownLevel
from core.families import Family
from core.levels import Level
from workers.engine.request import GenerationRequest
from workers.latent_cache.cache import Hit
from workers.pipelines.rows import Start
from workers.strategies import (
    approximate_cache,
    cachequant,
    exact,
    feature_cache,
    fewer_steps,
    smaller_model,
    subspace,
)


class Strategy(Protocol):
    """`begun` is where the request would begin without it; `hit` what the latent cache found, where it was asked."""

    def __call__(
        self, begun: Start, request: GenerationRequest, level: Level, family: Family, hit: Hit | None
    ) -> Start: ...


STRATEGIES: dict[str, Strategy] = {
    "exact": exact.start,
    "sm": smaller_model.start,
    "fs": fewer_steps.start,
    "ac": approximate_cache.start,
    "fc": feature_cache.start,
    "cq": cachequant.start,
    "sub": subspace.start,
}


def begin(request: GenerationRequest, level: Level, family: Family, hit: Hit | None = None) -> Start:
    """Where a request begins at a level: every step of its schedule, as its strategies change that one after another.

    Raises `UnknownLevel` for a strategy that no worker can run.
    """
    steps, _ = level.schedule(request.steps, family.defaults.steps)
    begun = Start(steps)
    for strategy in level.strategies:
        if strategy not in STRATEGIES:
            raise UnknownLevel(f"No worker can run strategy {strategy!r} of level {level.id!r}.", field="level")
        begun = STRATEGIES[strategy](begun, request, level, family, hit)
    return begun
