"""How attempts end, and what that costs their request.

============= ================================================ ==========================================
outcome       when                                             cost
============= ================================================ ==========================================
done          its image is stored                              nothing
failed        the model could not draw it, or the device       one of ARGUS_MAX_ATTEMPTS
              failed while it was alone there
lost          its worker ended or fell silent                  one, when it was alone there; else nothing
device_failed the device failed while others were there too    nothing
returned      preempted, the worker stopped, the database or   nothing
              the store was away
cancelled     nobody wants it any more                         nothing
============= ================================================ ==========================================

A request that was there when a device failed, or twice when a worker was lost, is suspected: its next attempts have the
device to themselves (`alone`), so that what happens then is its own doing and no other's.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session

from core.database import transaction
from core.settings import settings
from core.tables import Attempt, Request

FAILED, LOST, RETURNED, CANCELLED = "failed", "lost", "returned", "cancelled"
DEVICE_FAILED = "device_failed"
LOST_TOGETHER = 2  # workers that a request may lose in company before it is suspected


def used_up() -> ColumnElement[bool]:
    """Whether the attempts of a `Request` since it was last accepted are used up."""
    counted = or_(Attempt.outcome == FAILED, and_(Attempt.outcome == LOST, Attempt.alone))
    mine = (Attempt.request_id == Request.id, Attempt.number > Request.attempts_before)
    used = select(func.count()).where(*mine, counted).correlate(Request).scalar_subquery()
    return used >= settings().max_attempts


def suspected(request_id: uuid.UUID) -> bool:
    """Whether a request is to run alone: others may have been to blame; alone, it is cleared or it fails."""
    query = select(Attempt.outcome).where(Attempt.request_id == request_id).order_by(Attempt.number.desc())
    with transaction() as session:
        outcomes = list(session.scalars(query))
    since_done = outcomes[: outcomes.index("done")] if "done" in outcomes else outcomes
    return DEVICE_FAILED in since_done or since_done.count(LOST) >= LOST_TOGETHER


def begin_alone(attempt: uuid.UUID) -> None:
    """This attempt has the device to itself from now to its end; known before the device is touched."""
    with transaction() as session:
        session.execute(update(Attempt).where(Attempt.id == attempt, Attempt.outcome.is_(None)).values(alone=True))


def end_attempts(
    session: Session, attempts: Sequence[uuid.UUID], outcome: str, reason: str | None
) -> list[tuple[uuid.UUID, int]]:
    """Write how attempts ended; returns (request, number) of those that had not ended before."""
    ended = (
        update(Attempt)
        .where(Attempt.id.in_(attempts), Attempt.outcome.is_(None))
        .values(outcome=outcome, reason=reason, ended_at=func.now())
        .returning(Attempt.request_id, Attempt.number)
    )
    return [(request, number) for request, number in session.execute(ended)]
