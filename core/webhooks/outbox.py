"""Events that wait to be told, and what became of each.

::

    a request ends ──trigger──▶ waiting ──2xx──▶ delivered
    a job's last request ends ─▶   │ ▲ └──410──▶ gone        the address is told nothing more
                       sweep       ▼ │    └────▶ failed      its last try, a day after the first, came to nothing
                              fails: again later

    delivered, gone, failed ──replay──▶ waiting, with the same id and the same bytes

The trigger writes in the transaction that ends the request (migration `webhooks`), so nothing is lost and no request
waits. Who claims an event has it for LEASE_S: one whose process ended is told again, so receivers may hear twice, and
know it by `webhook-id`.
"""

from __future__ import annotations

import random
import uuid
from datetime import timedelta

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from core.database import transaction
from core.webhook_tables import WebhookDelivery, WebhookEndpoint, WebhookEvent
from core.webhooks.payloads import payload_of
from core.webhooks.sending import Answer

WAITING, DELIVERED, FAILED, GONE = "waiting", "delivered", "failed", "gone"
GONE_STATUS = 410
DELAYS_S = (5, 60, 300, 1800, 7200, 18_000, 28_800, 28_800)  # after each try, a day in all
JITTER = 0.2  # share by which a delay is longer or shorter
LEASE_S = 60.0
ASIDE_AFTER = 3  # failures of a host in a row, after which it is left alone …
ASIDE_S, ASIDE_MOST_S = 30.0, 3600.0  # … for so long, twice as long after each failure more
JOBS_DONE = text(
    """
WITH over AS (
    UPDATE job SET webhook_told_at = now() WHERE id IN (
        SELECT id FROM job j WHERE webhook IS NOT NULL AND webhook_told_at IS NULL AND NOT EXISTS (
            SELECT 1 FROM request r WHERE r.job_id = j.id AND r.state IN ('accepted', 'queued', 'running', 'paused')
        ) LIMIT :most FOR UPDATE SKIP LOCKED
    ) RETURNING id, tenant, webhook
)
INSERT INTO webhook_event (id, tenant, type, job_id, url, host)
SELECT gen_random_uuid(), tenant, 'job.done', id, webhook ->> 'url', webhook ->> 'host' FROM over
WHERE webhook -> 'events' ? 'job.done'
"""
)
DUE_HOSTS = text(
    """
SELECT e.host FROM webhook_event e LEFT JOIN webhook_host h ON h.host = e.host
WHERE e.state = 'waiting' AND e.next_at <= now() AND (h.resume_at IS NULL OR h.resume_at <= now())
GROUP BY e.host
"""
)
CLAIM = text(
    """
UPDATE webhook_event SET next_at = now() + make_interval(secs => :lease) WHERE id = (
    SELECT id FROM webhook_event WHERE host = :host AND state = 'waiting' AND next_at <= now()
    ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING id
"""
)
HOST_FAILED = text(
    """
INSERT INTO webhook_host AS h (host, failures, resume_at) VALUES (:host, 1, now())
ON CONFLICT (host) DO UPDATE SET failures = h.failures + 1, resume_at = now() + make_interval(secs =>
    CASE WHEN h.failures + 1 < :after THEN 0
         ELSE least(:first * power(2, least(h.failures + 1 - :after, 20)), :most) END)
"""
)
MOST = 1000


def note_jobs_done() -> int:
    """Have it told of jobs of which nothing is open any more; returns of how many."""
    with transaction() as session:
        return session.execute(JOBS_DONE, {"most": MOST}).rowcount  # type: ignore[attr-defined,no-any-return]


def due_hosts() -> list[str]:
    """Hosts that something is to be told now, without those that are left alone."""
    with transaction() as session:
        return list(session.scalars(DUE_HOSTS))


def claim(host: str) -> tuple[WebhookEvent, list[str]] | None:
    """The next event that is due at a host, with the secrets that sign it; None when there is none."""
    with transaction() as session:
        found = session.scalar(CLAIM, {"lease": LEASE_S, "host": host})
        if found is None:
            return None
        event = session.get_one(WebhookEvent, found)
        if event.payload is None:
            event.payload = payload_of(session, event)
        return event, secrets_of(session, event.tenant)


def secrets_of(session: Session, tenant: str) -> list[str]:
    """The secrets with which a tenant's events are signed, the newest first."""
    endpoint = session.get(WebhookEndpoint, tenant)
    if endpoint is None or endpoint.secret is None:
        return []
    until = endpoint.secret_before_until
    old = until is not None and until > session.execute(select(func.now())).scalar_one()
    return [endpoint.secret, *([endpoint.secret_before] if old and endpoint.secret_before else [])]


def record(event: WebhookEvent, answer: Answer) -> str:
    """Write down how telling went, and what follows from it; returns the event's state."""
    attempts = event.attempts + 1
    state = DELIVERED if answer.taken else GONE if answer.status == GONE_STATUS else WAITING
    if state == WAITING and attempts > len(DELAYS_S):
        state = FAILED
    values = {"state": state, "attempts": attempts}
    values |= {"next_at": func.now() + delay(attempts)} if state == WAITING else {"ended_at": func.now()}
    with transaction() as session:
        session.execute(update(WebhookEvent).where(WebhookEvent.id == event.id).values(values))
        session.add(
            WebhookDelivery(
                event_id=event.id,
                seconds=answer.seconds,
                status=answer.status,
                error=answer.error,
                answer=answer.text,
            )
        )
        _note_host(session, event.host, answer)
        if state == GONE:
            _stop_telling(session, event)
    return state


def delay(attempts: int) -> timedelta:
    """How long after so many tries the next one is."""
    return timedelta(seconds=DELAYS_S[attempts - 1] * random.uniform(1 - JITTER, 1 + JITTER))


def replay(session: Session, *which: object) -> int:
    """Tell these events once more, from the first try on; returns how many."""
    again = {"state": WAITING, "attempts": 0, "next_at": func.now(), "ended_at": None}
    statement = update(WebhookEvent).where(*which).values(again)  # type: ignore[arg-type]
    return session.execute(statement).rowcount  # type: ignore[attr-defined,no-any-return]


def _note_host(session: Session, host: str, answer: Answer) -> None:
    """Count failures of a host in a row. One that answers, whatever it says of this event, is there."""
    if answer.status is not None and answer.status < 500 and answer.status != 429:
        session.execute(text("DELETE FROM webhook_host WHERE host = :host"), {"host": host})
        return
    about = {"host": host, "after": ASIDE_AFTER, "first": ASIDE_S, "most": ASIDE_MOST_S}
    session.execute(HOST_FAILED, about)


def _stop_telling(session: Session, event: WebhookEvent) -> None:
    """The address is gone: what waits for it has ended, and it is the tenant's default no more."""
    mine = (WebhookEvent.tenant == event.tenant, WebhookEvent.url == event.url, WebhookEvent.state == WAITING)
    session.execute(update(WebhookEvent).where(*mine).values(state=GONE, ended_at=func.now()))
    endpoint = (WebhookEndpoint.tenant == event.tenant, WebhookEndpoint.url == event.url)
    session.execute(update(WebhookEndpoint).where(*endpoint).values(gone_at=func.now()))


def message_id(event: uuid.UUID) -> str:
    """The `webhook-id` of an event: the same whenever it is told."""
    return f"msg_{event.hex}"
