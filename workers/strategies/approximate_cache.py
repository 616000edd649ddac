"""Approximate caching (NIRVANA, Agarwal et al., NSDI 2024): start from step K of a similar prompt's run.

The nearer the cached prompt, the deeper a request may start. The latent is used as it was stored: the sampler begins at
K and no noise is added. Levels with the option `source = "image"` take MoDM's way instead: a finished latent, noised to
step K by this request's own seed, which works across the models of a family.
"""

from __future__ import annotations

from dataclasses import replace

from core.families import Family
from core.levels import Level
from workers.engine.request import GenerationRequest
from workers.latent_cache.cache import Hit
from workers.pipelines.rows import Start


def start(begun: Start, request: GenerationRequest, level: Level, family: Family, hit: Hit | None = None) -> Start:
    """Start at the hit's K where the level allows it that deep; else run every step, and say so."""
    _, skip = level.schedule(request.steps, family.defaults.steps)
    if hit is None or hit.k > skip:
        return begun.noting("no cached latent is near enough: run in full")
    return replace(begun, skip=hit.k, latent=hit.latent, clean=hit.clean, similarity=hit.similarity)
