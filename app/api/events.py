"""`/v1/jobs/<id>/events`: what happens to a job, as server-sent events.

A stream reads PostgreSQL when there is something new (`app/listening.py`) and sends what changed. It ends after a
minute; the browser comes back with `Last-Event-ID`, and the next stream goes on from there. What happened around then
may be sent twice, never left out.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from apiflask import APIBlueprint, FileSchema
from flask import Response, request
from sqlalchemy import func, or_, select

from app import waiting
from app.access import needs
from app.clients import client_of
from app.links import below, root
from app.records.jobs import find_job, read_job
from app.records.lines import lines, read_lines
from app.schemas.requests import RequestLine
from core.database import transaction
from core.keys import Scope
from core.tables import Request, State

blueprint = APIBlueprint("events", __name__, url_prefix="/v1/jobs", tag="Jobs")
LONGEST_S = 60.0
SCORES_S = 15.0  # scores come after the last image; a stream waits so long for them
GAP_S = 0.2  # between two looks, however much happens
OVERLAP = timedelta(seconds=10)  # a row's time is when its transaction began; others see it when it commits
TIMES = (Request.routed_at, Request.started_at, Request.stored_at, Request.scored_at)


@blueprint.get("/<uuid:job_id>/events")
@needs(Scope.READ)
@blueprint.output(FileSchema(type="string"), content_type="text/event-stream", description="Events, as they happen")
@blueprint.doc(responses={429: "Too many follow jobs already"})
def follow_job(job_id: uuid.UUID) -> Response:
    """Follow a job

    Events `request` (one request as in its job's list), `job` (state and counts) and `end` (nothing more will come).
    A stream lasts a minute; come back with `Last-Event-ID`.
    """
    with transaction() as session:
        find_job(session, job_id)
    since = _since(request.headers.get("Last-Event-ID"))
    leave = waiting.PLACES_TO_WAIT.take(client_of(), LONGEST_S, "Read `GET /v1/jobs/{id}` every few seconds instead.")
    response = Response(_stream(job_id, since, waiting.hanging_up(), root()), mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(leave)
    return response


def _since(event_id: str | None) -> datetime | None:
    """The time from which changes are sent; none (all of them) where the client names no time."""
    try:
        return datetime.fromisoformat(event_id) - OVERLAP if event_id else None
    except (ValueError, OverflowError):
        return None


def _stream(job_id: uuid.UUID, since: datetime | None, on_hang_up: waiting.OnHangUp | None, path: str) -> Iterator[str]:
    """The stream's text: what changed since, then what changes, until nothing more will; links begin with `path`."""
    sent: dict[uuid.UUID, tuple[Any, ...]] = {}
    summary: dict[str, Any] = {}
    began = quiet = time.monotonic()
    yield "retry: 2000\n\n"
    with waiting.following(job_id, on_hang_up) as follower:
        while True:
            with below(path):
                now, job, changed, unscored = _changes(job_id, since)
            changed = [line for line in changed if sent.get(line.id) != _shown(line)]
            for line in changed:
                sent[line.id] = _shown(line)
                yield _event("request", line.model_dump(mode="json"), now)
            if job != summary:
                yield _event("job", job, now)
            quiet = time.monotonic() if changed or job != summary else quiet
            summary, since = job, now - OVERLAP
            if job["progress"] >= 1.0 and (not unscored or time.monotonic() - quiet > SCORES_S):
                yield _event("end", {"state": job["state"]}, now)
                return
            yield ": waiting\n\n"
            follower.wait(LONGEST_S)
            over = follower.client_is_gone or time.monotonic() - began > LONGEST_S
            if over or waiting.LEAVING.wait(GAP_S):
                return


def _changes(job_id: uuid.UUID, since: datetime | None) -> tuple[datetime, dict[str, Any], list[RequestLine], int]:
    """The database's clock, the job, the requests that changed since, and how many images wait for a score."""
    mine = lines().where(Request.job_id == job_id).order_by(Request.position)
    if since is None:
        changed = mine.where(Request.state != State.ACCEPTED)
    else:
        ended = Request.state.in_((State.FAILED, State.CANCELLED))  # these carry no time of their own
        changed = mine.where(or_(ended, *(column > since for column in TIMES)))
    waits = select(func.count()).where(Request.job_id == job_id, Request.stored_at.is_not(None))
    with transaction() as session:
        job = read_job(session, job_id)
        now = session.execute(select(func.now())).scalar_one()
        unscored = session.execute(waits.where(Request.scored_at.is_(None))).scalar_one()
        return now, job.model_dump(mode="json"), read_lines(session, changed), unscored


def _shown(line: RequestLine) -> tuple[Any, ...]:
    """The parts of a request whose change is sent."""
    return line.state, line.level, line.image_id, line.score


def _event(name: str, data: dict[str, Any], at: datetime) -> str:
    return f"id: {at.isoformat()}\nevent: {name}\ndata: {json.dumps(data)}\n\n"
