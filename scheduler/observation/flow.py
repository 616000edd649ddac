"""Whether work flows: workers take what waits for them, and the scheduler ticks."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import exists, func, or_, select
from sqlalchemy.orm import Session

from core.families import Family
from core.open_requests import in_foreground
from core.settings import settings
from core.shared_values import shared_values
from core.tables import Attempt, Request, State, Worker
from scheduler.observation.queries import LiveWorker, live_workers

STALLED = timedelta(seconds=30)
TICKS = 6  # that may be missed
TICKED = "ticked"  # name of the shared value


def stalled_workers(session: Session, family: Family) -> list[str]:
    """Workers that have nothing to do and had not for 30 s, though requests wait that long for what they serve."""
    idle = [worker for worker in live_workers(session, family) if _is_idle(session, worker.name)]
    return [worker.name for worker in idle if _waits_for(session, family, worker)]


def work_flows(session: Session, family: Family) -> bool:
    """Whether nobody has waited for 30 s while a worker was idle, or while there was none."""
    if not live_workers(session, family):
        return not _waits_for(session, family)
    return not stalled_workers(session, family)


def note_tick() -> None:
    """The scheduler has ticked now."""
    shared_values().put(TICKED, True, TICKS * settings().tick_s + STALLED.total_seconds())


def ticks() -> bool:
    """Whether the scheduler has ticked lately, as far as the broker remembers."""
    return shared_values().get(TICKED) is True


def _is_idle(session: Session, worker: str) -> bool:
    """No attempt of it is open, and none has ended lately; nor has it just started."""
    mine = Attempt.worker == worker
    lately = func.now() - STALLED
    at_work = exists().where(mine, or_(Attempt.outcome.is_(None), Attempt.ended_at > lately))
    started = select(Worker.started_at).where(Worker.name == worker, Worker.state == "ready").scalar_subquery()
    return bool(session.scalar(select(~at_work & (started < lately))))


def _waits_for(session: Session, family: Family, worker: LiveWorker | None = None) -> bool:
    """Whether a request has waited for half a minute, at a level that this worker serves."""
    levels = [level for level in family.levels if worker is None or family.queue(level) in worker.queues]
    waits = exists().where(
        Request.state == State.QUEUED,
        Request.family == family.id,
        Request.level.in_(levels),
        in_foreground(),
        Request.routed_at < func.now() - STALLED,
    )
    return bool(session.scalar(select(waits)))
