"""A worker's own row: who it is, that it is alive, and the attempts it has not ended."""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.exc import OperationalError

from core.database import transaction
from core.errors import ServiceDown
from core.tables import Attempt, Worker


@dataclass(frozen=True)
class WorkerIdentity:
    """This run of a worker: its name and the boot that tells it from earlier runs."""

    name: str
    boot: uuid.UUID


def register(worker: WorkerIdentity, **columns: Any) -> None:
    """Write the worker's row, new or over that of an earlier boot."""
    with transaction() as session:
        session.merge(Worker(name=worker.name, boot=worker.boot, started_at=func.now(), seen_at=func.now(), **columns))


def end_earlier(name: str) -> None:
    """Any earlier run of the worker of this name has ended, so that what it had is given to others at the next look.

    A database that is away, or not yet known where, learns it when the worker registers.
    """
    with suppress(OperationalError, ServiceDown), transaction() as session:
        session.execute(update(Worker).where(Worker.name == name).values(state="stopped"))


def beat(worker: WorkerIdentity, **columns: Any) -> bool:
    """The worker is alive; False when another process has taken its name."""
    mine = update(Worker).where(Worker.name == worker.name, Worker.boot == worker.boot)
    with transaction() as session:
        return bool(session.execute(mine.values(seen_at=func.now(), **columns)).rowcount)  # type: ignore[attr-defined]


def open_attempts(worker: WorkerIdentity, earlier: bool) -> list[Attempt]:
    """Attempts of this worker that have not ended: those of `earlier` boots, or those of this one."""
    boot = Attempt.boot != worker.boot if earlier else Attempt.boot == worker.boot
    with transaction() as session:
        return list(
            session.scalars(select(Attempt).where(Attempt.worker == worker.name, Attempt.outcome.is_(None), boot))
        )
