"""Everything about one request, as the API and its page show it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, selectinload

from app.access import owned
from app.links import link
from app.prompts.notes import notes
from app.records.images import image_out
from app.records.lines import seconds_between
from app.schemas.errors import ErrorDetail
from app.schemas.images import ImageOut
from app.schemas.requests import AttemptOut, CacheOut, LoraOut, QualityOut, RequestOut, TimesOut
from core.errors import NotFound
from core.families import load_family
from core.levels import Level
from core.loras import read_loras
from core.settings import settings
from core.tables import Attempt, Image, Request, State

IDENTITY = ("id", "job_id", "position", "family", "service_class", "state", "deadline_at", "start_by")
PROMPTS = ("prompt", "prompt_asked", "truncated_tokens")
ASKED = (
    *("custom_id", *PROMPTS, *(f"negative_{name}" for name in PROMPTS)),
    *("emphasis", "seed", "width", "height", "steps"),
)
UNROUTED = "not routed yet: tenants have turns, and of each no more is taken than can be drawn soon"
GIVEN = ("guidance", "parallel", "level_asked", "level", "epoch", "deadline_unreachable", "worker")


def request_out(session: Session, request_id: uuid.UUID) -> RequestOut:
    """Everything about a request; raises `NotFound`."""
    found = requests_out(session, Request.id == request_id)
    if not found:
        raise NotFound(f"There is no request {request_id}.", field="id")
    return found[0]


def requests_out(session: Session, *which: ColumnElement[bool]) -> list[RequestOut]:
    """Everything about some requests that the caller may see, in the order of their jobs."""
    images = selectinload(Request.images)
    whole = (selectinload(Request.tries), images.selectinload(Image.scores), images.selectinload(Image.fidelity))
    query = owned(select(Request).where(*which)).order_by(Request.job_id, Request.position).options(*whole)
    return [_out(request) for request in session.scalars(query)]


def _out(request: Request) -> RequestOut:
    images = [image_out(image) for image in reversed(request.images)]
    newest, level = images[0] if images else None, _level_of(request)
    return RequestOut(
        **{name: getattr(request, name) for name in (*IDENTITY, *ASKED, *GIVEN)},
        strategy=level.strategy if level else None,
        model=newest.model if newest else (level.model if level else None),
        kind=request.kind,
        strength=request.strength,
        operator=request.operator,
        reason=request.note or (UNROUTED if request.state == State.ACCEPTED else None),
        loras=[LoraOut.model_validate(use) for use in read_loras(request.loras)],
        notes=notes(request.prompt, request.negative_prompt, request.emphasis),
        cache=_cache(request.tries[-1] if request.tries else None),
        quality=_quality(request, newest),
        hopeless=request.deadline_unreachable,
        times=TimesOut.model_validate(request),
        latency_s=seconds_between(request.accepted_at, request.stored_at),
        in_time=_in_time(request),
        attempts=[AttemptOut.model_validate(attempt) for attempt in request.tries],
        images=images,
        error=ErrorDetail(code=request.error_code, message=request.error or "") if request.error_code else None,
        links=_links(request, newest),
    )


def _cache(attempt: Attempt | None) -> CacheOut:
    """What approximate caching did in the newest attempt."""
    if attempt is None:
        return CacheOut(hit=False, similarity=None, steps_skipped=0)
    similarity = attempt.cache_similarity
    skipped = attempt.steps_skipped or 0 if similarity is not None else 0  # others begin with an image
    return CacheOut(hit=similarity is not None, similarity=similarity, steps_skipped=skipped)


def _quality(request: Request, image: ImageOut | None) -> QualityOut:
    return QualityOut(
        floor=request.min_quality,
        predicted=request.predicted_quality,
        predicted_by_level=request.qualities,
        score=image.score if image else None,
        scorer=image.scorer if image else None,
    )


def _links(request: Request, image: ImageOut | None) -> dict[str, str]:
    """Where the request, its job, its page, the image and mask it begins with and its newest image are."""
    began = {"source": request.source_id, "mask": request.mask_id, "second": request.second_id}
    links = {
        "self": link(f"/v1/requests/{request.id}"),
        "job": link(f"/v1/jobs/{request.job_id}"),
        "page": link(f"/requests/{request.id}"),
        **{name: link(f"/v1/inputs/{id}") for name, id in began.items() if id},
    }
    return {**links, "image": image.link} if image else links


def _in_time(request: Request) -> bool | None:
    """Whether the image was stored by its deadline; none while that is open, or nobody waits any more."""
    if request.stored_at:
        return request.stored_at <= request.deadline_at
    if request.state == State.CANCELLED:
        return None
    late = request.state == State.FAILED or datetime.now(UTC) > request.deadline_at
    return False if late else None


def _level_of(request: Request) -> Level | None:
    """The level as the family file in force describes it; none when that is another family or lacks the level."""
    family = load_family(settings().family)
    return family.levels.get(request.level or "") if family.id == request.family else None
