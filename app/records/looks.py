"""What is new of a job, read once for all who follow it and written as the events that tell of it.

A thousand followers of a job are woken by the same word; the first who looks reads, the others take what it found, as
long as nothing was heard since it began to read.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, or_, select

from app.links import below
from app.listening import LISTENER
from app.records.jobs import read_job
from app.records.lines import lines, read_lines
from app.schemas.requests import RequestLine
from core.database import transaction
from core.tables import Request, State

KEPT = 1000  # jobs whose last look is kept
COARSE_S = 10  # looks begin at such a time: then those who came at different times can share one
TIMES = (Request.routed_at, Request.started_at, Request.stored_at, Request.scored_at)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Shown = tuple[Any, ...]  # the parts of a request whose change is sent


@dataclass(frozen=True)
class Changed:
    """A request that changed, and the event that tells of it."""

    id: uuid.UUID
    shown: Shown
    text: str


@dataclass(frozen=True)
class Look:
    """The database's clock, the job, the requests that changed, and how many images wait for a score."""

    now: datetime
    job: dict[str, Any]
    job_text: str
    requests: list[Changed]
    unscored: int


class Looks:
    """The last look at each job."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[uuid.UUID, str], tuple[int, datetime, Look]] = OrderedDict()
        self._reading = [threading.Lock() for _ in range(64)]  # of a job one reads

    def look(self, job_id: uuid.UUID, since: datetime | None, path: str) -> Look:
        """What changed since, perhaps a little more; all that is told of if since is none. Links begin with `path`."""
        if since is None:
            return _read(job_id, None, path)
        coarse = since - timedelta(seconds=(since - EPOCH).total_seconds() % COARSE_S)
        key = (job_id, path)
        with self._reading[hash(key) % len(self._reading)]:
            heard = LISTENER.news(job_id)
            kept = self._kept.get(key)
            if kept and LISTENER.hears and kept[0] == heard and kept[1] <= since:
                return kept[2]
            found = _read(job_id, coarse, path)
            with self._lock:
                self._kept[key] = (heard, coarse, found)
                self._kept.move_to_end(key)
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            return found


def _read(job_id: uuid.UUID, since: datetime | None, path: str) -> Look:
    mine = lines().where(Request.job_id == job_id).order_by(Request.position)
    if since is None:
        changed = mine.where(Request.state != State.ACCEPTED)
    else:
        ended = Request.state.in_((State.FAILED, State.CANCELLED))  # these carry no time of their own
        changed = mine.where(or_(ended, *(column > since for column in TIMES)))
    waits = select(func.count()).where(Request.job_id == job_id, Request.stored_at.is_not(None))
    with transaction() as session, below(path):
        job = read_job(session, job_id).model_dump(mode="json")
        now = session.execute(select(func.now())).scalar_one()
        unscored = session.execute(waits.where(Request.scored_at.is_(None))).scalar_one()
        found = [_changed(line, now) for line in read_lines(session, changed)]
    return Look(now, job, event("job", job, now), found, unscored)


def _changed(line: RequestLine, now: datetime) -> Changed:
    shown = (line.state, line.level, line.image_id, line.score)
    return Changed(line.id, shown, event("request", line.model_dump(mode="json"), now))


def event(name: str, data: dict[str, Any], at: datetime) -> str:
    """A server-sent event; its id is when it was read."""
    return f"id: {at.isoformat()}\nevent: {name}\ndata: {json.dumps(data)}\n\n"


LOOKS = Looks()
