"""Telling workers what to hold, and checking that they do.

Rows are written first, then the broadcast is sent; a worker that misses it reads its row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import BindParameter, bindparam, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import Text

from core.database import transaction
from core.queues import served_by, tell
from core.tables import ASSIGNMENT_FORMAT, Assignment
from scheduler.control.assignments import NewAssignment
from scheduler.observation.queries import LiveWorker

log = structlog.get_logger(__name__)
LOADING_S = 300.0  # the longest that a worker is waited for to serve what it was told
REMIND = timedelta(seconds=30)

NEWEST = text(  # of each worker, with the models of the one before
    """
SELECT newest.id, before.models FROM unnest(:names) AS w(name)
CROSS JOIN LATERAL (SELECT id FROM assignment WHERE worker = w.name ORDER BY id DESC LIMIT 1) newest
LEFT JOIN LATERAL (
    SELECT models FROM assignment WHERE worker = w.name AND id < newest.id ORDER BY id DESC LIMIT 1
) before ON true
"""
)


@dataclass(frozen=True)
class Assigned:
    """The newest assignment of a worker, and seconds since it made the worker load weights (infinite: it did not).

    One that is not verified yet counts as loading now, for at most `LOADING_S`.
    """

    row: Assignment
    loaded_s: float


def assigned(session: Session, workers: Sequence[LiveWorker]) -> dict[str, Assigned]:
    """The newest assignment of each of these workers that has one."""
    before = {row.id: row.models for row in session.execute(NEWEST.bindparams(_names(workers)))}
    rows = session.scalars(select(Assignment).where(Assignment.id.in_(before)))
    now = datetime.now(UTC)
    return {row.worker: Assigned(row, _loaded_s(row, before[row.id], now)) for row in rows}


def _names(workers: Sequence[LiveWorker]) -> BindParameter[Any]:
    return bindparam("names", [worker.name for worker in workers], type_=ARRAY(Text()))


def _loaded_s(row: Assignment, before: Sequence[str] | None, now: datetime) -> float:
    age = (now - row.created_at).total_seconds()
    if row.verified_at is None:
        return 0.0 if age < LOADING_S else age
    loads = before is None or not set(row.models) <= set(before)
    return age if loads else float("inf")


def intended(workers: Sequence[LiveWorker], known: Mapping[str, Assigned]) -> list[LiveWorker]:
    """The workers as they will be when they have taken up what they were told."""
    told = {name: (tuple(it.row.models), tuple(it.row.queues)) for name, it in known.items()}
    return [
        replace(worker, models=told[worker.name][0], queues=told[worker.name][1]) if worker.name in told else worker
        for worker in workers
    ]


def issue(epoch: int, wanted: Sequence[NewAssignment]) -> None:
    """Record the assignments, then tell the workers; one that misses it reads its row."""
    same = {"epoch": epoch, "format": ASSIGNMENT_FORMAT}
    rows = [{**asdict(new), **same, "models": list(new.models), "queues": list(new.queues)} for new in wanted]
    with transaction() as session:
        session.execute(insert(Assignment), rows)
    together: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for new in wanted:
        together.setdefault((tuple(new.models), tuple(new.queues)), []).append(new.worker)
    for (held, served), workers in together.items():
        log.info("remap", workers=len(workers), first=workers[0], models=held)
        tell(workers, held, served)


def verify(workers: Sequence[LiveWorker]) -> list[str]:
    """Ask workers whose assignment is not verified what they consume; returns those that do not serve it yet.

    One that has not for half a minute is told again.
    """
    with transaction() as session:
        now = session.scalar(select(func.now())) or datetime.now(UTC)
        newest = [row.id for row in session.execute(NEWEST.bindparams(_names(workers)))]
        unproven = list(
            session.scalars(select(Assignment).where(Assignment.id.in_(newest), Assignment.verified_at.is_(None)))
        )
    served = served_by([row.worker for row in unproven])
    done = [row.id for row in unproven if set(row.queues) == served.get(row.worker)]
    with transaction() as session:
        proven = update(Assignment).where(Assignment.id.in_(done))
        session.execute(proven.values(verified_at=func.now()))
    waiting = [row for row in unproven if row.id not in done]
    for row in waiting:
        if now - row.created_at > REMIND:
            tell([row.worker], row.models, row.queues)
    return [row.worker for row in waiting]
