"""What is recorded of a finished request: the image's row, the attempt's columns, the text in the PNG."""

from __future__ import annotations

import uuid
from typing import Any

from core.families import Family
from core.images import Stored
from core.requests import Claim
from core.tables import Image, Request
from workers.engine.request import Outcome


def image_row(image_id: uuid.UUID, claimed: Claim, outcome: Outcome, stored: Stored, family_version: str) -> Image:
    """The row of a stored image."""
    return Image(
        id=image_id,
        request_id=claimed.request.id,
        attempt_id=claimed.attempt,
        key=stored.key,
        width=outcome.image.width,
        height=outcome.image.height,
        bytes=stored.bytes,
        sha256=stored.sha256,
        level=outcome.level_id,
        model=outcome.model_id,
        family_version=family_version,
    )


def attempt_columns(outcome: Outcome) -> dict[str, Any]:
    """An attempt's columns from what the engine measured, times in seconds."""
    times = outcome.times
    return {
        "reason": outcome.reason,
        "level": outcome.level_id,
        "model": outcome.model_id,
        "batch_mean": outcome.batch_mean,
        "batch_max": outcome.batch_max,
        "steps_run": outcome.steps_run,
        "steps_skipped": outcome.steps_skipped,
        "cache_similarity": outcome.cache_similarity,
        "encode_s": times.encoded - times.admitted,
        "wait_s": times.started - times.encoded,
        "denoise_s": times.denoised - times.started,
        "decode_s": times.decoded - times.denoised,
    }


def png_text(family: Family, request: Request, outcome: Outcome) -> dict[str, str]:
    """Text chunks of the PNG: what was asked for and what was used."""
    values = {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "seed": request.seed,
        "level": outcome.level_id,
        "model": outcome.model_id,
        "family": f"{family.id} {family.version}",
        "steps": outcome.steps_run,
        "guidance": request.guidance,
        "software": "Argus",
    }
    return {name: str(value) for name, value in values.items() if value != ""}
