"""Moves that users ask for of a selection of requests: H, K, L and M of `core.requests`, and their order.

Each is made a portion at a time, so that a hundred thousand rows keep no worker waiting. Rows that somebody else is
just moving are passed over, never waited for: they come with a later portion.

A paused request has a state of its own: whatever looks for accepted or queued requests (router, claims, the sweep,
re-alignment, the planner's backlog) does not find it, and a message that is late claims nothing. Retrying leaves out
what a worker has not let go of yet.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, case, func, null, select, update
from sqlalchemy.orm import Session

from core.tables import OPEN_STATES, Attempt, Image, Job, Request, State

PORTION = 2_000  # requests of one transaction
NOT_BEGUN = (State.ACCEPTED, State.QUEUED)
LIMITS = ("deadline_at", "start_by")  # which move with what the user does; the second may be none
HAS_IMAGE = select(Image.id).where(Image.request_id == Request.id).exists()
HELD = select(Attempt.id).where(Attempt.request_id == Request.id, Attempt.outcome.is_(None)).exists()
SET_ASIDE = dict.fromkeys(("deadline_unreachable", "over_share"), False)
UNROUTED: Mapping[str, Any] = {"routed_at": None, "published_at": None, **SET_ASIDE}


@dataclass(frozen=True)
class Move:
    """What becomes of which requests: those in these states that fulfil the conditions get these values."""

    name: str
    past: str
    states: tuple[State, ...]
    values: Mapping[str, Any]
    conditions: tuple[ColumnElement[bool], ...] = field(default=())

    @property
    def takes(self) -> tuple[ColumnElement[bool], ...]:
        """Whether a request is one that this changes."""
        return (Request.state.in_(self.states), *self.conditions)

    @property
    def routes(self) -> bool:
        """Whether requests are accepted by it, so that a router has to be told."""
        return self in (RESUME, RETRY)


CANCEL = Move("cancel", "cancelled", OPEN_STATES, {"state": State.CANCELLED})
PAUSE = Move("pause", "paused", NOT_BEGUN, {"state": State.PAUSED, "paused_at": func.now()})
RESUME = Move(
    "resume",
    "resumed",
    (State.PAUSED,),
    {
        **UNROUTED,
        "state": case((HAS_IMAGE, State.QUEUED), else_=State.ACCEPTED),
        **{name: getattr(Request, name) + (func.now() - Request.paused_at) for name in LIMITS},
        "paused_at": None,
    },
)
RETRY = Move(
    "retry",
    "retried",
    (State.FAILED, State.CANCELLED),
    {
        **UNROUTED,
        "state": State.ACCEPTED,
        "accepted_at": func.now(),
        **{name: func.now() + (getattr(Request, name) - Request.accepted_at) for name in LIMITS},
        "attempts_before": Request.attempts,
        "urgent": False,
        **dict.fromkeys(("level", "epoch", "worker", "started_at", "error_code", "error", "note"), null()),
    },
    (~HELD,),
)


def reordered(priority: int) -> Move:
    """The move that gives this priority to requests that have not begun."""
    waiting = (*NOT_BEGUN, State.PAUSED)
    return Move("reorder", "reordered", waiting, {"priority": priority}, (Request.priority != priority,))


def make(session: Session, move: Move, job_id: uuid.UUID, which: Sequence[ColumnElement[bool]]) -> int:
    """Move a portion of those of a job's requests that the move takes; returns how many that were."""
    mine = (Request.job_id == job_id, *move.takes, *which)
    portion = select(Request.id).where(*mine).order_by(Request.position).limit(PORTION)
    ids = list(session.scalars(portion.with_for_update(skip_locked=True)))
    if ids:
        moved = update(Request).where(Request.id.in_(ids)).values(**move.values)
        session.execute(moved.execution_options(synchronize_session=False))
    return len(ids)


def remaining(session: Session, move: Move, job_id: uuid.UUID, which: Sequence[ColumnElement[bool]]) -> int:
    """How many of a job's requests the move takes now."""
    mine = (Request.job_id == job_id, *move.takes, *which)
    return session.scalar(select(func.count()).select_from(Request).where(*mine)) or 0


def cancel_job(session: Session, job: Job) -> int:
    """Cancel what is open of a job, at once; returns how many that were. Running ones end at their next step."""
    count = _cancel_open(session, Request.job_id == job.id)
    if count and job.cancelled_at is None:
        job.cancelled_at = session.execute(select(func.now())).scalar_one()
    return count


def cancel_requests(session: Session, ids: Sequence[uuid.UUID]) -> int:
    """Cancel those of these requests that are open; returns how many. Their jobs go on."""
    return _cancel_open(session, Request.id.in_(ids))


def _cancel_open(session: Session, which: Any) -> int:
    mine = update(Request).where(which, Request.state.in_(OPEN_STATES)).values(state=State.CANCELLED)
    return len(session.execute(mine.returning(Request.id).execution_options(synchronize_session=False)).all())
