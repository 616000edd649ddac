"""What is recorded of a finished request: the image's row, the attempt's columns, the text in the PNG."""

from __future__ import annotations

import uuid
from typing import Any

from core.families import Family
from core.images import Stored
from core.requests import Claim
from core.tables import Image, Request
from workers.engine.request import GenerationResult


def image_row(
    image_id: uuid.UUID, claimed: Claim, result: GenerationResult, stored: Stored, family_version: str
) -> Image:
    """The row of a stored image."""
    return Image(
        id=image_id,
        request_id=claimed.request.id,
        attempt_id=claimed.attempt,
        key=stored.key,
        width=result.image.width,
        height=result.image.height,
        bytes=stored.bytes,
        sha256=stored.sha256,
        level=result.level_id,
        model=result.model_id,
        family_version=family_version,
    )


def attempt_columns(result: GenerationResult) -> dict[str, Any]:
    """An attempt's columns from what the engine measured, times in seconds."""
    times = result.times
    return {
        "reason": result.reason,
        "level": result.level_id,
        "model": result.model_id,
        "batch_mean": result.batch_mean,
        "batch_max": result.batch_max,
        "steps_run": result.steps_run,
        "steps_skipped": result.steps_skipped,
        "cache_similarity": result.cache_similarity,
        "encode_s": times.encoded - times.admitted,
        "wait_s": times.started - times.encoded,
        "denoise_s": times.denoised - times.started,
        "decode_s": times.decoded - times.denoised,
    }


def png_text(family: Family, request: Request, result: GenerationResult) -> dict[str, str]:
    """Text chunks of the PNG: what was asked for and what was used."""
    values = {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "seed": request.seed,
        "level": result.level_id,
        "model": result.model_id,
        "family": f"{family.id} {family.version}",
        "steps": result.steps_run,
        "guidance": request.guidance,
        "software": "Argus",
    }
    return {name: str(value) for name, value in values.items() if value != ""}
