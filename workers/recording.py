"""What is recorded of a finished request: the image's row, the attempt's columns, the text in the PNG."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping
from math import inf
from typing import Any

from core import requests
from core.celery import publish
from core.database import patiently
from core.emphasis import read_emphasis, weighted
from core.errors import StoreDown
from core.families import Family
from core.images import ImageStore, Stored
from core.infotext import NAME, infotext, program
from core.loras import tags
from core.messages import QUALITY_QUEUE, ScoreImage
from core.requests import Claim
from core.tables import Image, Request
from workers.engine.request import GenerationResult


class Recorder:
    """Stores images and records them. A store that is full or away is waited for until `stopping` is set.

    Args:
        means: relative quality by level, from the profile.
    """

    def __init__(
        self, family: Family, images: ImageStore, stopping: threading.Event, means: Mapping[str, float]
    ) -> None:
        self.family, self.means = family, means
        self.images = images
        self.stopping = stopping

    def store(self, claimed: Claim, result: GenerationResult) -> bool:
        """Image to the store, timings to the database, its id to the quality worker.

        False when the request is no longer this attempt's: it was cancelled, or the worker given up for lost.
        Raises `StoreDown` when the worker stops and the store is still away.
        """
        image_id, text = uuid.uuid4(), png_text(self.family, claimed.request, result)
        stored = patiently(lambda: self.images.put(image_id, result.image, text), inf, StoreDown, self.stopping)
        row = image_row(image_id, claimed, result, stored, self.family.version)
        since = time.time() - result.times.denoised
        found = truncation_columns(result) | quality_columns(self.family, claimed.request, result, self.means)
        recorded = patiently(lambda: requests.finish(claimed, row, attempt_columns(result), since, found))
        if recorded:
            publish(QUALITY_QUEUE, [ScoreImage(str(image_id))])
        else:
            self.images.delete(stored.key)
        return recorded


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
        "step_s": result.step_s,
        "work_s": result.work_s,
        "share_s": result.share_s,
        "steps_run": result.steps_run,
        "steps_skipped": result.steps_skipped,
        "cache_similarity": result.cache_similarity,
        "encode_s": times.encoded - times.admitted,
        "wait_s": times.started - times.encoded,
        "denoise_s": times.denoised - times.started,
        "decode_s": times.decoded - times.denoised,
        "parallel": result.parallel,
    }


def truncation_columns(result: GenerationResult) -> dict[str, Any]:
    """How much of the prompts the model that drew them did not read."""
    if result.truncated_tokens is None:
        return {}
    return dict(zip(("truncated_tokens", "negative_truncated_tokens"), result.truncated_tokens, strict=True))


def quality_columns(
    family: Family, request: Request, result: GenerationResult, means: Mapping[str, float]
) -> dict[str, Any]:
    """The relative quality predicted at the level that drew the image, which may not be the one it was routed to.

    Decisions have 0 for a caching level where a prompt has no neighbour, so that none chooses it; reports and audits
    are to have what the image was expected to be. One that found no cached latent near enough was drawn in full, so it
    is the reference's; one that found a latent which was not there when it was routed is as those are on average.
    """
    known = request.qualities or {}
    level, reference = family.levels[result.level_id], family.levels[family.reference]
    quality = known.get(level.id)
    if level.strategy == "ac" and not result.steps_skipped and level.model == reference.model:
        quality = 1.0
    elif level.strategy == "ac" and not quality:
        quality = means.get(level.id)
    return {"predicted_quality": quality, "qualities": {**known, level.id: quality}} if quality else {}


def png_text(family: Family, request: Request, result: GenerationResult) -> dict[str, str]:
    """Text chunks of the PNG: what was asked for and what was used, and the same as other tools read it."""
    values = {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "seed": request.seed,
        "loras": request.loras,
        "emphasis": request.emphasis,
        "level": result.level_id,
        "model": result.model_id,
        "family": f"{family.id} {family.version}",
        "steps": result.steps_run,
        "guidance": request.guidance,
        "strength": request.strength,
        "parallel": result.parallel["mode"] if result.parallel and result.parallel["turns"] else None,
        "software": "Argus",
        "prompt_asked": request.prompt_asked,
        "negative_prompt_asked": request.negative_prompt_asked,
        "custom_id": request.custom_id,
        **{name: count or None for name, count in truncation_columns(result).items()},
    }
    spans = read_emphasis(request.emphasis)
    prompt = f"{weighted(request.prompt, spans.prompt)} {tags(request.loras)}".strip()
    negative = weighted(request.negative_prompt, spans.negative_prompt)
    values[NAME] = infotext(prompt, negative, _parameters(family, request, result))
    return {name: str(value) for name, value in values.items() if value not in ("", None)}


def _parameters(family: Family, request: Request, result: GenerationResult) -> dict[str, Any]:
    """What drew the image, in the words of AUTOMATIC1111's web UI, and what Argus has no older words for."""
    return {
        "Steps": result.steps_run,
        "Sampler": result.sampler,
        "Schedule type": result.noise_schedule,
        "CFG scale": f"{result.guidance:g}",
        "Seed": request.seed,
        "Size": f"{result.image.width}x{result.image.height}",
        "Model hash": family.models[result.model_id].short_hash,
        "Model": result.model_id,
        "Cached steps": result.steps_skipped if result.cache_similarity is not None else None,
        "Denoising strength": request.strength,
        "Argus level": result.level_id,
        "Argus request": request.id,
        "Version": program(),
    }
