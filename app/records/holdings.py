"""Which models each worker was told to hold, over a window of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.settings import settings
from core.tables import Assignment, Worker

MOST = 2000  # assignments that are read


@dataclass(frozen=True)
class Held:
    """A stretch of time in which a worker was to hold these models."""

    start: datetime
    end: datetime
    models: tuple[str, ...]


def holdings(session: Session, minutes: int) -> dict[str, list[Held]]:
    """By worker, for those that were seen in the last so many minutes: what it was told, oldest first.

    A worker that is silent held nothing any more from when it was last seen.
    """
    until = datetime.now(UTC)
    since = until - timedelta(minutes=minutes)
    seen = session.scalars(select(Worker).where(Worker.seen_at > since).order_by(Worker.name)).all()
    told = _told(session, since, [worker.name for worker in seen])
    stale = timedelta(seconds=settings().stale_s)
    found = {}
    for worker in seen:
        end = until if until - worker.seen_at < stale and worker.state != "stopped" else worker.seen_at
        found[worker.name] = _stretches(told.get(worker.name, []), since, end)
    return found


def _told(session: Session, since: datetime, workers: list[str]) -> dict[str, list[Assignment]]:
    """Assignments in the window, and of each worker the one before."""
    before = select(func.max(Assignment.id)).where(Assignment.created_at <= since, Assignment.worker.in_(workers))
    oldest = session.scalars(before.group_by(Assignment.worker)).all()
    which = (Assignment.created_at > since) | Assignment.id.in_(oldest)
    newest = select(Assignment).where(Assignment.worker.in_(workers), which).order_by(Assignment.id.desc()).limit(MOST)
    found: dict[str, list[Assignment]] = {}
    for row in reversed(session.scalars(newest).all()):
        found.setdefault(row.worker, []).append(row)
    return found


def _stretches(told: list[Assignment], since: datetime, end: datetime) -> list[Held]:
    found: list[Held] = []
    for row, ends in zip(told, [*(later.created_at for later in told[1:]), end], strict=False):
        start, stop = max(since, row.created_at), min(end, ends)
        if stop <= start:
            continue
        if found and found[-1].models == tuple(row.models):
            found[-1] = Held(found[-1].start, stop, found[-1].models)
        else:
            found.append(Held(start, stop, tuple(row.models)))
    return found
