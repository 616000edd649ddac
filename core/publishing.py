"""Messages for rows that are committed: publish after the commit, note when, expect every message twice or never."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import func, update

from core.celery import publish
from core.database import transaction
from core.families import queue_name
from core.messages import ROUTER_QUEUE, Generate, Route
from core.tables import Job, Request


def publish_requests(requests: Sequence[Request]) -> int:
    """Publish `Generate` for queued requests, a connection a queue, and note when; returns how many the broker took."""
    by_queue: defaultdict[str, list[Request]] = defaultdict(list)
    for request in requests:
        by_queue[queue_name(request.family, request.level or "")].append(request)
    taken: list[uuid.UUID] = []
    for queue, waiting in by_queue.items():
        sent = publish(queue, [Generate(str(request.id), request.epoch or 0) for request in waiting])
        taken += [request.id for request in waiting[:sent]]
    if taken:
        with transaction() as session:
            session.execute(update(Request).where(Request.id.in_(taken)).values(published_at=func.now()))
    return len(taken)


def publish_jobs(jobs: Sequence[uuid.UUID]) -> int:
    """Publish `Route` for jobs with accepted requests, and note when; returns how many the broker took."""
    sent = publish(ROUTER_QUEUE, [Route(str(job)) for job in jobs])
    if sent:
        with transaction() as session:
            session.execute(update(Job).where(Job.id.in_(jobs[:sent])).values(published_at=func.now()))
    return sent
