"""The full model, every step: the reference that all other levels are measured against."""

from __future__ import annotations

from core.families import Family
from core.levels import Level
from workers.engine.request import GenerationRequest
from workers.latent_cache.cache import Hit
from workers.pipelines.rows import Start


def start(request: GenerationRequest, level: Level, family: Family, hit: Hit | None = None) -> Start:
    """Every step of the level's schedule."""
    steps, _ = level.schedule(request.steps, family.defaults.steps)
    return Start(steps)
