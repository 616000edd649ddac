"""Messages for rows that are committed: publish after the commit, note when, expect every message twice or never."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, literal, update
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from core.celery import publish
from core.database import quick_transaction
from core.families import queue_name
from core.messages import ROUTER_QUEUE, Generate, Route
from core.queues import depths
from core.tables import Job, Request

WINDOW = 2_000  # messages that wait in a queue, about
FEW = 20  # are published without asking how many wait


def is_among(requests: Sequence[uuid.UUID]) -> ColumnElement[bool]:
    """Whether a request is one of these: as one value, for a statement with hundreds of them takes long to build."""
    return Request.id == func.any(literal(list(requests), ARRAY(UUID())))


def publish_requests(requests: Sequence[Request]) -> int:
    """Publish `Generate` for queued requests, a connection a queue, and note when; returns how many the broker took.

    A message is a place in line for whichever request is most urgent then, so no queue is given more than `WINDOW`:
    rows without a message get one from reconciliation, as places become free.
    """
    by_queue: defaultdict[str, list[Request]] = defaultdict(list)
    for request in requests:
        by_queue[queue_name(request.family, request.level or "")].append(request)
    taken: list[uuid.UUID] = []
    deep = depths(by_queue) if len(requests) > FEW else None
    for queue, waiting in by_queue.items():
        waiting = waiting[: max(0, WINDOW - deep[queue])] if deep else waiting
        sent = publish(queue, [Generate(str(request.id), request.epoch or 0) for request in waiting])
        taken += [request.id for request in waiting[:sent]]
    if taken:
        with quick_transaction() as session:
            session.execute(update(Request).where(is_among(taken)).values(published_at=func.now()))
    return len(taken)


def publish_jobs(jobs: Sequence[uuid.UUID]) -> int:
    """Publish `Route` for jobs with accepted requests, and note when; returns how many the broker took."""
    sent = publish(ROUTER_QUEUE, [Route(str(job)) for job in jobs])
    if sent:
        with quick_transaction() as session:
            session.execute(update(Job).where(Job.id.in_(jobs[:sent])).values(published_at=func.now()))
    return sent
