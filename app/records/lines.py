"""Requests as lists show them: one line each."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Select, literal, select
from sqlalchemy.orm import Session

from app.access import owned
from app.links import link
from app.schemas.requests import LoraOut, RequestLine
from core.errors import NotFound
from core.loras import read_loras
from core.results import newest
from core.tables import Image, Job, Request


def lines() -> Select[Any]:
    """Requests (and their jobs) that the caller may see, with their newest image and its score; narrow it, then
    `read_lines`."""
    image, score = newest(Image.id)
    whole = select(Request, image.c.id, score.c.value).select_from(Request).join(Job)
    whole = whole.outerjoin(image, literal(True)).outerjoin(score, literal(True))
    return owned(whole.execution_options(populate_existing=True))


def read_lines(session: Session, query: Select[Any]) -> list[RequestLine]:
    """The requests that a query made by `lines` finds."""
    return [line_of(*row) for row in session.execute(query)]


def line_of(request: Request, image_id: uuid.UUID | None, score: float | None) -> RequestLine:
    """A row of such a query."""
    return RequestLine(
        id=request.id,
        position=request.position,
        custom_id=request.custom_id,
        prompt=request.prompt,
        truncated_tokens=request.truncated_tokens,
        negative_truncated_tokens=request.negative_truncated_tokens,
        seed=request.seed,
        emphasis=request.emphasis,
        loras=[LoraOut.model_validate(use) for use in read_loras(request.loras)],
        state=request.state,
        level_asked=request.level_asked,
        level=request.level,
        image_id=image_id,
        stored_at=request.stored_at,
        latency_s=seconds_between(request.accepted_at, request.stored_at),
        score=score,
        predicted_quality=request.predicted_quality,
        error_code=request.error_code,
        link=link(f"/v1/requests/{request.id}"),
    )


def request_line(session: Session, request_id: uuid.UUID) -> RequestLine:
    """One request as lists show it; raises `NotFound`."""
    found = read_lines(session, lines().where(Request.id == request_id))
    if not found:
        raise NotFound(f"There is no request {request_id}.", field="id")
    return found[0]


def seconds_between(start: datetime, end: datetime | None) -> float | None:
    """The time that passed; none while there is no end."""
    return (end - start).total_seconds() if end else None
