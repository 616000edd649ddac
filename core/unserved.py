"""Moves of `core.requests` by a sweep: H (of jobs that nobody waits for any more), J, what ends before it begins; and
back to the router from levels that are not offered any more."""

from __future__ import annotations

import uuid
from datetime import timedelta

from sqlalchemy import ColumnElement, func, or_, text, update
from sqlalchemy.orm import Session

from core.database import transaction
from core.errors import NotStartedInTime
from core.families import Family
from core.tables import Request, State

MOST = 5_000  # requests that one statement expires: what is left goes with the next
CANCEL_ABANDONED = text(
    """
WITH gone AS (
    UPDATE job SET abandoned_at = NULL WHERE abandoned_at < now() - CAST(:after AS interval) RETURNING id
)
UPDATE request SET state = 'cancelled', note = concat_ws('; ', note, 'its client hung up before it began')
WHERE job_id IN (SELECT id FROM gone) AND state IN ('accepted', 'queued') AND attempts = 0
"""
)
EXPIRE = text(
    """
UPDATE request SET state = 'failed', error_code = :code,
       error = 'It was to begin within ' || extract(epoch FROM start_by - accepted_at)::float || ' s, and had not.'
WHERE id IN (
    SELECT id FROM request WHERE state IN ('accepted', 'queued') AND start_by < now() AND started_at IS NULL
    ORDER BY start_by LIMIT :most FOR UPDATE SKIP LOCKED
)
"""
)


def cancel_abandoned(after: timedelta) -> int:
    """Cancel what has not begun of jobs whose client hung up so long ago and has not come back; returns how many."""
    with transaction() as session:
        return session.execute(CANCEL_ABANDONED, {"after": after}).rowcount  # type: ignore[attr-defined,no-any-return]


def expire_unstarted() -> int:
    """Fail what should have begun by now and has not; returns how many requests that were."""
    with transaction() as session:
        return session.execute(EXPIRE, {"code": NotStartedInTime.code, "most": MOST}).rowcount  # type: ignore[attr-defined,no-any-return]


def return_not_offered(session: Session, family: Family) -> set[uuid.UUID]:
    """Requests that wait at a level that the family does not offer any more are accepted again; returns their jobs."""
    back = (
        update(Request)
        .where(Request.state == State.QUEUED, Request.family == family.id, Request.level.not_in(family.levels))
        .values(state=State.ACCEPTED, routed_at=None)
        .returning(Request.job_id)
    )
    return set(session.scalars(back))


def may_start() -> ColumnElement[bool]:
    """Whether a request may still begin, or has begun before. A claim (`core.claim_statement`) asks the same."""
    return or_(Request.start_by.is_(None), Request.start_by >= func.now(), Request.started_at.is_not(None))
