"""Cancelling, pausing, resuming, retrying and reordering a selection of requests, of one job or of all.

What is asked for is done job by job, in portions, each committed: a client that hears no answer sends it again, and it
goes on where it stopped. A job is told once, by who did what to how many.

`first` and `last` are a priority beyond those of all that waits beside what is selected, of its class and tenant: one
for all that is selected, so that this keeps its order. They may lie beyond any that can be asked for as a number.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, and_, func, select, true
from sqlalchemy.orm import Session

from app.access import owned
from app.backlog import BACKLOG
from app.clients import client_of
from app.jobs import locked, note
from app.records.jobs import find_job
from app.records.selection import conditions
from app.schemas.selection import Moved, MoveIn, ReorderIn
from core.database import transaction
from core.own_work import FROM_USERS
from core.publishing import publish_jobs
from core.tables import OPEN_STATES, Job, Request, ServiceClass
from core.user_moves import CANCEL, PAUSE, RESUME, RETRY, Move, make, remaining, reordered

MOVES = {move.name: move for move in (CANCEL, PAUSE, RESUME, RETRY)}
AGAIN_S, PATIENCE_S = 0.05, 10.0  # for rows that somebody else is just moving

Which = Sequence[ColumnElement[bool]]
Order = tuple[ServiceClass, str]  # what is drawn in one order: a class of a tenant


def move(name: str, asked: MoveIn, job_id: uuid.UUID | None = None) -> Moved:
    """Do it to those of a job's requests, or of all, that are selected; or only say to how many it would be done.

    Raises:
        NotFound: there is no such job.
        TooLarge, TooMuchWaiting: more would be accepted again than may wait.
    """
    which = conditions(asked)
    with transaction() as session:
        jobs = [find_job(session, job_id)] if job_id else _jobs_with(session, name, which)
        priorities = _priorities(session, asked, job_id, which)
    counts = []
    for job in jobs:
        made = MOVES[name] if name in MOVES else reordered(priorities[job.service_class, job.tenant])
        counts.append(_of_job(made, asked, job.id, which))
    return Moved(move=name, dry_run=asked.dry_run, requests=sum(counts), jobs=sum(1 for count in counts if count))


def _jobs_with(session: Session, name: str, which: Which) -> list[Job]:
    """Jobs of the caller's, oldest first, with requests that it may be done to."""
    states = MOVES[name].states if name in MOVES else reordered(0).states
    mine = select(Request.id).where(Request.job_id == Job.id, Request.state.in_(states), *which).exists()
    return list(session.scalars(owned(select(Job).where(FROM_USERS, mine)).order_by(Job.created_at, Job.id)))


def _of_job(move: Move, asked: MoveIn, job_id: uuid.UUID, which: Which) -> int:
    """How many of a job it was, or would be, done to."""
    with transaction() as session:
        count = remaining(session, move, job_id, which)
        if asked.dry_run or not count:
            return count
        _prepare(session, move, job_id, which, count)
    done = _all_of(move, job_id, which)
    if move.routes:
        publish_jobs([job_id])
    return done


def _prepare(session: Session, move: Move, job_id: uuid.UUID, which: Which, count: int) -> None:
    """What changes of the job itself, and who does it."""
    job = locked(session, job_id)
    if move is CANCEL and not which and job.cancelled_at is None:
        job.cancelled_at = session.execute(select(func.now())).scalar_one()
    if move is RETRY:
        BACKLOG.admit(session, client_of(), count)
        job.cancelled_at = job.abandoned_at = None
    if "priority" in move.values and not which:
        job.priority = move.values["priority"]
    note(session, job_id, move.past, requests=count)


def _all_of(move: Move, job_id: uuid.UUID, which: Which) -> int:
    """Move portion after portion until none is left; what others hold for long is left to the next call."""
    done, end = 0, time.monotonic() + PATIENCE_S
    while True:
        with transaction() as session:
            portion = make(session, move, job_id, which)
            if not portion and not remaining(session, move, job_id, which):
                return done
        done += portion
        if portion:
            end = time.monotonic() + PATIENCE_S
        elif time.monotonic() > end:
            return done
        else:
            time.sleep(AGAIN_S)


def _priorities(session: Session, asked: MoveIn, job_id: uuid.UUID | None, which: Which) -> Mapping[Order, int]:
    """The priority that is asked for, by what is drawn in one order."""
    wanted = asked.priority if isinstance(asked, ReorderIn) else 0
    if isinstance(wanted, int):
        return defaultdict(lambda: wanted)
    end, beyond = (func.max, 1) if wanted == "first" else (func.min, -1)
    selected = and_(true(), *which, *([Request.job_id == job_id] if job_id else []))
    others = select(Request.service_class, Request.tenant, end(Request.priority))
    others = others.where(Request.state.in_(OPEN_STATES), selected.is_not(true()))
    ends = session.execute(others.group_by(Request.service_class, Request.tenant))
    return defaultdict(lambda: beyond, {(kind, tenant): known + beyond for kind, tenant, known in ends})
