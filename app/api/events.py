"""`/v1/jobs/<id>/events`: what happens to a job, as server-sent events.

A stream reads PostgreSQL when there is something new (`app/listening.py`), once for all who follow the same job
(`app/records/looks.py`), and sends what changed; meanwhile it holds no thread (`app/parking.py`). It ends after a
minute; the browser comes back with `Last-Event-ID`, and the next stream goes on from there. What happened around then
may be sent twice, never left out.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from apiflask import APIBlueprint, FileSchema
from flask import Response, request

from app import waiting
from app.access import needs
from app.clients import client_of
from app.links import root
from app.parking import parking
from app.records.jobs import find_job
from app.records.looks import LOOKS, Shown, event
from core.database import transaction
from core.keys import Scope
from core.times import read_time

blueprint = APIBlueprint("events", __name__, url_prefix="/v1/jobs", tag="Jobs")
LONGEST_S = 60.0
PING_S = 20.0  # of silence, after which a stream says that it is there
SCORES_S = 15.0  # scores come after the last image; a stream waits so long for them
GAP_S = 0.2  # between two looks, however much happens
OVERLAP = timedelta(seconds=10)  # a row's time is when its transaction began; others see it when it commits


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
    leave = waiting.STREAM_PLACES.take(client_of(), LONGEST_S, "Read `GET /v1/jobs/{id}` every few seconds instead.")
    stream = _stream(job_id, since, waiting.hanging_up(), root(), leave)
    park = request.environ.get(waiting.PARK)
    response = Response(parking(stream, park) if park else waiting.blocking(stream), mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _since(event_id: str | None) -> datetime | None:
    """The time from which changes are sent; none (all of them) where the client names no time."""
    try:
        return read_time(event_id) - OVERLAP if event_id else None
    except (ValueError, OverflowError):
        return None


def _stream(
    job_id: uuid.UUID,
    since: datetime | None,
    on_hang_up: waiting.OnHangUp | None,
    path: str,
    leave: Callable[[], None],
) -> Iterator[str | waiting.Pause]:
    """The stream's text: what changed since, then what changes, until nothing more will; links begin with `path`."""
    sent: dict[uuid.UUID, Shown] = {}
    summary: dict[str, Any] = {}
    began = quiet = time.monotonic()
    try:
        yield "retry: 2000\n\n"
        with waiting.following(job_id, on_hang_up) as follower:
            while True:
                looked = time.monotonic()
                found = LOOKS.look(job_id, since, path)
                news = [each for each in found.requests if sent.get(each.id) != each.shown]
                sent.update((each.id, each.shown) for each in news)
                yield "".join(each.text for each in news) + found.job_text * (found.job != summary)
                quiet = looked if news or found.job != summary else quiet
                summary, since = found.job, found.now - OVERLAP
                scores_s = quiet + SCORES_S - time.monotonic() if found.job["progress"] >= 1.0 else math.inf
                if found.job["progress"] >= 1.0 and (not found.unscored or scores_s <= 0):
                    yield event("end", {"state": found.job["state"]}, found.now)
                    return
                again = False
                while not again:
                    yield ": waiting\n\n"
                    pause = waiting.Pause(follower, min(PING_S, max(0.0, scores_s), LONGEST_S), looked + GAP_S)
                    yield pause
                    if follower.client_is_gone or waiting.LEAVING.is_set() or time.monotonic() - began > LONGEST_S:
                        return
                    again = pause.may_be_new or scores_s < PING_S
    finally:
        leave()
