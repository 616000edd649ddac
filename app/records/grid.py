"""A job's requests in chunks of a grid, each found by the positions it spans: a page reads one of them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.access import owned
from app.records.lines import lines, read_lines
from app.records.selection import conditions
from app.schemas.requests import RequestLine
from app.schemas.selection import Selection
from core.tables import Request

A_CHUNK = 60  # divides into rows of 2, 3, 4, 5 and 6


@dataclass(frozen=True)
class Chunk:
    """Requests at positions from `start` up to before `stop`, `count` of which are selected."""

    start: int
    stop: int
    count: int


def chunks(session: Session, job_id: uuid.UUID, size: int, selection: Selection) -> list[Chunk]:
    """All chunks of the job's requests that are selected, in order."""
    which = conditions(selection)
    if not which:
        return [Chunk(at, min(at + A_CHUNK, size), min(A_CHUNK, size - at)) for at in range(0, size, A_CHUNK)]
    place = (func.row_number().over(order_by=Request.position) - 1).label("place")
    found = owned(select(Request.position, place).where(Request.job_id == job_id, *which)).subquery()
    total = session.scalar(select(func.count()).select_from(found)) or 0
    starts = session.scalars(select(found.c.position).where(found.c.place % A_CHUNK == 0).order_by(found.c.position))
    return [
        Chunk(start, stop, min(A_CHUNK, total - A_CHUNK * number))
        for number, (start, stop) in enumerate(pairwise([*starts, size]))
    ]


def tiles(session: Session, job_id: uuid.UUID, start: int, stop: int, selection: Selection) -> list[RequestLine]:
    """The selected requests of one chunk, in order."""
    where = (Request.job_id == job_id, Request.position >= start, Request.position < stop, *conditions(selection))
    return read_lines(session, lines().where(*where).order_by(Request.position).limit(A_CHUNK))


def waits_for_scores(session: Session, job_id: uuid.UUID) -> bool:
    """Whether an image of the job has no score yet."""
    unscored = (Request.job_id == job_id, Request.stored_at.is_not(None), Request.scored_at.is_(None))
    return session.scalar(owned(select(Request.id).where(*unscored)).limit(1)) is not None
