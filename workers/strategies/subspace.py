"""Subspace diffusion (Jing et al. 2022, arXiv:2205.01490): the first, noisy steps at half the size.

A model that draws well at both sizes settles there what goes where; detail is noise anyway. Then the latent grows
(`workers/pipelines/half_size.py`) and the row goes on with the rows of its new size.
"""

from __future__ import annotations

from dataclasses import replace

from core.errors import BadCalibration
from core.families import Family
from core.levels import Level
from core.subspaces import read_subspace
from workers.engine.request import GenerationRequest
from workers.latent_cache.cache import Hit
from workers.pipelines.half_size import HalfSize, Subspace
from workers.pipelines.rows import Start


def start(begun: Start, request: GenerationRequest, level: Level, family: Family, hit: Hit | None = None) -> Start:
    """Begin at half the size where the family has that size; else take every step at the whole one, and say so."""
    small, until = request.at_half_size, level.small_steps(begun.steps, family.defaults.steps)
    if (small.width, small.height) not in family.limits.sizes:
        return begun.noting(f"{family.id} has no size {small.width}×{small.height} to begin at: run in full")
    try:
        return replace(begun, half=HalfSize(until, subspace_of(level)))
    except BadCalibration:  # lost since the family was read
        return begun.noting(f"{level.id} is without its calibration: run in full")


def subspace_of(level: Level) -> Subspace | None:
    """As its calibration has it; none of averages."""
    return Subspace.of(read_subspace(level.calibration_location)) if level.calibration else None
