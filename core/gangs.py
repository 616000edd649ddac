"""The moves of a gang: who is asked, who answers, who draws. Each is one short transaction (`core.gang_tables`)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import func, literal, select, update

from core.database import transaction
from core.families import Family
from core.gang_tables import Gang
from core.infotext import program
from core.requests import Claim
from core.settings import settings
from core.tables import Attempt, Request, State, Worker


def host_of(worker: str) -> str:
    """The host that a worker's name says."""
    return worker.rpartition("@")[2]


def program_of(family: Family) -> str:
    """What all members have to be of, to compute the same."""
    return f"{program()}, {family.id} {family.version}"


def idle_workers(family: Family, leader: str, model: str) -> list[str]:
    """Other workers on the leader's host and type of device that hold this model and draw nothing."""
    own = select(Worker.device_type).where(Worker.name == leader).scalar_subquery()
    busy = select(Attempt.id).where(Attempt.worker == Worker.name, Attempt.outcome.is_(None)).exists()
    seen = Worker.seen_at > func.now() - timedelta(seconds=settings().stale_s)
    query = (
        select(Worker.name)
        .where(Worker.family == family.id, Worker.state == "ready", Worker.device_type == own, seen, ~busy)
        .where(Worker.name != leader, literal(model) == func.any(Worker.models))
        .order_by(Worker.name)
    )
    with transaction() as session:
        return [name for name in session.scalars(query) if host_of(name) == host_of(leader)]


def anybody_waits(family: Family) -> bool:
    """Whether a queued request of the family could be drawn by those who would join."""
    waits = select(Request.id).where(Request.family == family.id, Request.state == State.QUEUED).limit(1)
    with transaction() as session:
        return session.scalar(waits) is not None


def ask(claimed: Claim, family: Family, leader: str, mode: str, workers: Sequence[str]) -> None:
    """Note that these workers are asked to draw this attempt with its worker."""
    gang = Gang(attempt_id=claimed.attempt, leader=leader, mode=mode, program=program_of(family), asked=list(workers))
    with transaction() as session:
        session.add(gang)


def answer(attempt: uuid.UUID, worker: str, willing: bool) -> bool:
    """A worker's answer; False where that comes too late."""
    column = Gang.willing if willing else Gang.unwilling
    open_one = update(Gang).where(Gang.attempt_id == attempt, Gang.members.is_(None))
    with transaction() as session:
        changed = session.execute(open_one.values({column: func.array_append(column, worker)}))
        return bool(changed.rowcount)  # type: ignore[attr-defined]


def close(attempt: uuid.UUID, members: Sequence[str], address: str | None = None) -> None:
    """These draw, and meet there; nobody can join any more."""
    with transaction() as session:
        mine = update(Gang).where(Gang.attempt_id == attempt)
        session.execute(mine.values(members=list(members), address=address))


def read(attempt: uuid.UUID) -> Gang | None:
    """The gang as it is now."""
    with transaction() as session:
        return session.get(Gang, attempt)


def claim_of(attempt: uuid.UUID) -> Claim | None:
    """What a gang draws; None where the attempt has ended."""
    with transaction() as session:
        begun = session.get(Attempt, attempt)
        if begun is None or begun.outcome is not None:
            return None
        return Claim(session.get_one(Request, begun.request_id), attempt, begun.number)
