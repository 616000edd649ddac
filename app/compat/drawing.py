"""What these APIs do to draw: submit a job like any other, wait for its images, read them.

They answer with the images themselves, so a thread waits for them (`app/waiting.py`).
"""

from __future__ import annotations

import uuid
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from flask import g
from pydantic import Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import jobs, waiting
from app.clients import client_of
from app.records.images import find_image
from app.records.jobs import find_job
from app.records.requests import requests_out
from app.rendering import AS_DRAWN, Rendering, render
from app.schemas.base import Out, WideInt
from app.schemas.requests import TRUNCATED, RequestOut
from app.schemas.submission import JobIn
from core.database import transaction
from core.errors import ArgusError, Cancelled, EngineError, NotFound, TookTooLong, kinds
from core.families import Family
from core.images import ImageStore
from core.settings import settings
from core.tables import OPEN_STATES, Request, State


class Origin(Out):
    """How an image came to be: what Argus adds to the answer of the client's API."""

    job_id: uuid.UUID
    request_id: uuid.UUID
    image_id: uuid.UUID | None = Field(
        description="None where the image is half drawn, of a call that was interrupted."
    )
    level_asked: str
    level: str = Field(description="The level that drew it.")
    model: str
    cache_hit: bool
    seed: WideInt
    reason: str | None = Field(description="Why this level.")
    predicted_quality: float | None = Field(description="Relative to `exact`, predicted when the level was chosen.")
    prompt_asked: str | None = Field(description="As it was written, where choices in it made it another.")
    truncated_tokens: int | None = TRUNCATED
    negative_truncated_tokens: int | None = TRUNCATED
    score: float | None = Field(description="CLIPScore, if the image is scored already; later in `link`.")
    link: str


@dataclass(frozen=True)
class Drawing:
    """A request with its image; `key` is the file's in the image store, `sha256` its checksum."""

    request: RequestOut
    key: str
    sha256: str

    def png(self) -> bytes:
        """The file as it was drawn."""
        return ImageStore().get(self.key, self.sha256)

    def base64(self, rendering: Rendering = AS_DRAWN) -> str:
        """The file as text."""
        return b64encode(render(self.png(), rendering)).decode()

    @cached_property
    def origin(self) -> Origin:
        request, image = self.request, next(iter(self.request.images), None)
        return Origin(
            job_id=request.job_id,
            request_id=request.id,
            image_id=image.id if image else None,
            level_asked=request.level_asked,
            level=image.level if image else request.level or "",
            model=image.model if image else request.model or "",
            cache_hit=request.cache.hit,
            seed=request.seed,
            reason=request.reason,
            predicted_quality=request.quality.predicted,
            prompt_asked=request.prompt_asked,
            truncated_tokens=request.truncated_tokens,
            negative_truncated_tokens=request.negative_truncated_tokens,
            score=image.score if image else None,
            link=request.links["self"],
        )


def model_names(family: Family) -> list[str]:
    """What these APIs call models: the family, of which Argus chooses a level, and each level."""
    return [family.id, *family.levels]


def draw(wanted: JobIn, source: str, previews: int = 0) -> list[Drawing]:
    """Submit a job and wait for its images. Its id is kept in `g.job_id`, for the answer's header.

    `previews` is how many each of them shows on its way.

    Raises:
        BadInput and its kinds, TooLarge, TooOften: nothing is stored.
        TookTooLong: there are images missing after ARGUS_COMPAT_WAIT_S; the job goes on.
        Cancelled, EngineError, NotFound: a request was cancelled, failed, or removed meanwhile.
    """
    leave = take_place()
    try:
        g.job_id = jobs.submit(wanted, source, previews).job.id
        _wait(g.job_id)
    finally:
        leave()
    with transaction() as session:
        return _read(session, g.job_id)


def take_place() -> Callable[[], None]:
    """Take a place to wait for images; returns what gives it back. Raises `TooOften`."""
    instead = "Submit with `POST /v1/jobs`, which answers at once."
    return waiting.PLACES_TO_WAIT.take(client_of(), settings().compat_wait_s, instead)


def took_too_long(job_id: uuid.UUID) -> TookTooLong:
    """What those are told who have waited for a job as long as they may."""
    longest = f"{settings().compat_wait_s:g} s"
    return TookTooLong(f"Job {job_id} is not done after {longest}. It goes on: read /v1/jobs/{job_id}.")


def _wait(job_id: uuid.UUID) -> None:
    outcome = waiting.wait_until(lambda: not _unfinished(job_id), job_id, settings().compat_wait_s)
    if outcome is waiting.Outcome.GONE:
        jobs.abandon(job_id)
    if outcome is not waiting.Outcome.OVER:
        raise took_too_long(job_id)


def _unfinished(job_id: uuid.UUID) -> int:
    mine = select(func.count()).where(Request.job_id == job_id, Request.state.in_(OPEN_STATES))
    with transaction() as session:
        return session.scalar(mine) or 0


def _read(session: Session, job_id: uuid.UUID) -> list[Drawing]:
    """The job's drawings in order; raises why there is one missing."""
    find_job(session, job_id)
    return [drawing_of(session, request) for request in requests_out(session, Request.job_id == job_id)]


def drawing_of(session: Session, request: RequestOut) -> Drawing:
    """A request with its image; raises why there is none."""
    if request.state in (State.FAILED, State.CANCELLED) or not request.images:
        raise why_missing(request)
    image = find_image(session, request.images[0].id)
    return Drawing(request, image.key, image.sha256)


def why_missing(request: RequestOut) -> ArgusError:
    """Why a request has no image."""
    if request.state == State.CANCELLED:
        return Cancelled(f"Job {request.job_id} was cancelled.")
    error = request.error
    if error is None:
        return NotFound(f"The image of request {request.id}, job {request.job_id}, was removed.")
    kind = next((kind for kind in kinds() if kind.code == error.code), EngineError)
    return kind(f"Request {request.id} of job {request.job_id} failed: {error.message}")
