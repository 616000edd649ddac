"""`/v1/jobs/<id>/events`: what happens to a job, as server-sent events.

A listener reads PostgreSQL once a second and is told what changed. Nothing else has to keep a connection open: a stream
ends after a minute, and the browser comes back with `Last-Event-ID`, from where it goes on. What happened about then
may be told twice, and never not at all.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from apiflask import APIBlueprint, FileSchema
from flask import Response, request
from sqlalchemy import func, or_, select

from app.records.jobs import find_job, read_job
from app.records.lines import lines, read_lines
from app.schemas.requests import RequestLine
from core.database import transaction
from core.errors import TooOften
from core.tables import Request, State

blueprint = APIBlueprint("events", __name__, url_prefix="/v1/jobs", tag="Jobs")
POLL_S = 1.0
LONGEST_S = 60.0
SCORES_S = 15.0  # scores come after the last image; a stream waits so long for them
OVERLAP = timedelta(seconds=10)  # a row's time is its transaction's start; it is seen at its commit
LISTENERS = threading.BoundedSemaphore(10)  # of this process: each holds a thread
MOMENTS = (Request.routed_at, Request.started_at, Request.stored_at, Request.scored_at)


@blueprint.get("/<uuid:job_id>/events")
@blueprint.output(FileSchema(type="string"), content_type="text/event-stream", description="Events, as they happen")
@blueprint.doc(responses={429: "Too many listeners"})
def follow_job(job_id: uuid.UUID) -> Response:
    """Follow a job

    Events `request` (one request as in its job's list), `job` (state and counts) and `end` (nothing more will come).
    A stream lasts a minute; come back with `Last-Event-ID`.
    """
    with transaction() as session:
        find_job(session, job_id)
    if not LISTENERS.acquire(blocking=False):
        raise TooOften("Too many listeners. Read `GET /v1/jobs/{id}` now and then instead.")
    response = Response(_stream(job_id, _since(request.headers.get("Last-Event-ID"))), mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(LISTENERS.release)
    return response


def _since(event_id: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(event_id) - OVERLAP if event_id else None
    except ValueError:
        return None


def _stream(job_id: uuid.UUID, since: datetime | None) -> Iterator[str]:
    told: dict[uuid.UUID, tuple[Any, ...]] = {}
    summary: dict[str, Any] = {}
    began = quiet = time.monotonic()
    yield "retry: 2000\n\n"
    while True:
        now, job, changed, unscored = _look(job_id, since)
        changed = [line for line in changed if told.get(line.id) != _face(line)]
        for line in changed:
            told[line.id] = _face(line)
            yield _event("request", line.model_dump(mode="json"), now)
        if job != summary:
            yield _event("job", job, now)
        quiet = time.monotonic() if changed or job != summary else quiet
        summary, since = job, now - OVERLAP
        if job["progress"] >= 1.0 and (not unscored or time.monotonic() - quiet > SCORES_S):
            yield _event("end", {"state": job["state"]}, now)
            return
        if time.monotonic() - began > LONGEST_S:
            return
        yield ": waiting\n\n"
        time.sleep(POLL_S)


def _look(job_id: uuid.UUID, since: datetime | None) -> tuple[datetime, dict[str, Any], list[RequestLine], int]:
    """The database's clock, the job, the requests that changed since, and how many images wait for a score."""
    mine = lines().where(Request.job_id == job_id).order_by(Request.position)
    if since is None:
        changed = mine.where(Request.state != State.ACCEPTED)
    else:
        ended = Request.state.in_((State.FAILED, State.CANCELLED))  # these carry no time of their own
        changed = mine.where(or_(ended, *(moment > since for moment in MOMENTS)))
    waits = select(func.count()).where(Request.job_id == job_id, Request.stored_at.is_not(None))
    with transaction() as session:
        job = read_job(session, job_id)
        now = session.execute(select(func.now())).scalar_one()
        unscored = session.execute(waits.where(Request.scored_at.is_(None))).scalar_one()
        return now, job.model_dump(mode="json"), read_lines(session, changed), unscored


def _face(line: RequestLine) -> tuple[Any, ...]:
    """What of a request, when it changes, is worth telling."""
    return line.state, line.level, line.image_id, line.score


def _event(name: str, data: dict[str, Any], moment: datetime) -> str:
    return f"id: {moment.isoformat()}\nevent: {name}\ndata: {json.dumps(data)}\n\n"
