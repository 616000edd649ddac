"""Reconciliation: every few seconds, publish again whatever a lost message or a lost worker has left behind.

Broker and workers may forget; rows do not. A row that has been in its state for longer than that state should take is
published again. Doubles do no harm (the row decides), but a deep backlog must not be doubled every time: rows that
merely wait are left alone as long as their queue is as deep as they are many, and so is background work, which workers
find by its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta

import structlog
from sqlalchemy import ColumnElement, and_, func, or_, select

from core.celery import publish
from core.database import transaction
from core.families import Family
from core.messages import QUALITY_QUEUE, ROUTER_QUEUE, ScoreImage
from core.open_requests import in_foreground
from core.progress import forget_ended
from core.publishing import WINDOW, publish_jobs, publish_requests
from core.queues import depths
from core.requests import return_to_router
from core.tables import Image, Request, State
from core.unserved import cancel_abandoned, expire_unstarted, return_not_offered
from scheduler.control.lost_workers import LostWorkers
from scheduler.observation.queries import live_workers

log = structlog.get_logger(__name__)
UNROUTED = timedelta(seconds=3)
UNROUTED_ROWS = 1_000
UNCLAIMED = timedelta(seconds=10)
UNSCORED = timedelta(seconds=10)
ABANDONED = timedelta(seconds=30)  # in which clients that send a call again have done so
LOOK_BACK = timedelta(hours=1)  # images older than this that nobody could score stay without
BATCH = 5_000  # rows looked at, images and jobs published at once
IN_FLIGHT = 32  # messages between queue and claim at one time, at most


@dataclass(frozen=True)
class Reconciled:
    """How many rows reconciliation took back, routed or published again."""

    lost: int = 0
    routed: int = 0
    published: int = 0
    scored: int = 0


def reconcile(family: Family, lost_workers: LostWorkers | None = None) -> Reconciled:
    """Check all rows of a family that are not in a final state."""
    lost_workers = lost_workers or LostWorkers()
    reconciled = Reconciled(
        lost_workers.take_back(), route_again() + route_unserved(family), publish_again(family), score_again()
    )
    forget_ended()
    cancel_abandoned(ABANDONED)
    expired = expire_unstarted()
    if expired:
        log.info("not started in time", requests=expired)
    if reconciled != Reconciled():
        log.info("reconciled", **asdict(reconciled))
    return reconciled


def route_again() -> int:
    """Jobs with requests that no router has taken, and `Route` not waiting in its queue."""
    waiting = (Request.state == State.ACCEPTED, Request.accepted_at < func.now() - UNROUTED)
    with transaction() as session:
        some = select(Request.job_id).where(*waiting).limit(UNROUTED_ROWS)  # one message has the router take all
        jobs = list(set(session.scalars(some)))
    deep = depths([ROUTER_QUEUE]) if jobs else None
    if deep is None or deep[ROUTER_QUEUE] >= len(jobs):
        return 0
    return publish_jobs(jobs)


def publish_again(family: Family) -> int:
    """Queued requests whose message was never sent, or must have been lost."""
    unsent = and_(
        Request.published_at.is_(None), func.coalesce(Request.routed_at, Request.accepted_at) < func.now() - UNROUTED
    )
    overdue = Request.published_at < func.now() - UNCLAIMED
    late = _waiting_by_level(family, or_(unsent, overdue))
    if not late:
        return 0
    deep = depths(family.queue(level) for level in family.levels)
    if deep is None:
        return 0
    lossy = _lossy_levels(family, _waiting_by_level(family), deep)
    which = or_(unsent, and_(overdue, Request.level.in_(lossy)))
    with transaction() as session:
        rows = select(Request).where(*_foreground(family), which).order_by(Request.deadline_at).limit(WINDOW)
        requests = list(session.scalars(rows))
    return publish_requests(requests)


def _lossy_levels(family: Family, waiting: Mapping[str, int], deep: Mapping[str, int]) -> list[str]:
    """Levels whose queues hold clearly fewer messages than rows wait. Levels of a model share workers, and messages."""
    lossy = []
    for model in family.models:
        levels = [level.id for level in family.levels_of(model)]
        rows = sum(waiting.get(level, 0) for level in levels)
        messages = sum(deep[family.queue(level)] for level in levels)
        if rows and (messages == 0 or rows - messages > IN_FLIGHT):
            lossy += levels
    return lossy


def _waiting_by_level(family: Family, which: ColumnElement[bool] | None = None) -> dict[str, int]:
    query = select(Request.level, func.count()).where(*_foreground(family)).group_by(Request.level)
    query = query if which is None else query.where(which)
    with transaction() as session:
        return {level: count for level, count in session.execute(query) if level in family.levels}


def _queued(family: Family) -> tuple[ColumnElement[bool], ...]:
    return (Request.state == State.QUEUED, Request.family == family.id)


def _foreground(family: Family) -> tuple[ColumnElement[bool], ...]:
    """Those of the queued that need a message: without batch work and requests whose deadline cannot be met."""
    return (*_queued(family), in_foreground())


def route_unserved(family: Family) -> int:
    """Route again what waits at a level that no live worker serves, or that is not offered any more; who asked for one
    that is offered waits for the tick."""
    with transaction() as session:
        jobs = return_not_offered(session, family)
        served = {queue for worker in live_workers(session, family) for queue in worker.queues}
        unserved = [level for level in family.levels if family.queue(level) not in served]
        if served and unserved:
            jobs |= return_to_router(session, family.id, unserved)
    return publish_jobs(list(jobs)) if jobs else 0


def score_again() -> int:
    """Images without a score, and `ScoreImage` not waiting in its queue."""
    late = (Request.stored_at < func.now() - UNSCORED, Request.stored_at > func.now() - LOOK_BACK)
    query = select(Image.id).join(Request).where(Request.scored_at.is_(None), *late).limit(BATCH)
    with transaction() as session:
        images = list(session.scalars(query))
    deep = depths([QUALITY_QUEUE]) if images else None
    if not deep or deep[QUALITY_QUEUE] > 0:
        return 0
    return publish(QUALITY_QUEUE, [ScoreImage(str(image)) for image in images])
