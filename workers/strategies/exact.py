"""The full model, every step: the reference that all other levels are measured against."""

from __future__ import annotations

from core.families import Family
from core.levels import Level
from workers.engine.request import GenerationRequest
from workers.latent_cache.cache import Hit
from workers.pipelines.rows import Start


def start(begun: Start, request: GenerationRequest, level: Level, family: Family, hit: Hit | None = None) -> Start:
    """Nothing is left out of the level's schedule."""
    return begun
