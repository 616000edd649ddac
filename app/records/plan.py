"""The plan in force, what waits and runs, and the workers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.schemas.plan import PlanOut, PlanPage, WorkerOut
from core.own_work import FROM_USERS
from core.settings import settings
from core.tables import Assignment, Job, Plan, Request, State, Worker

UNROUTED = "unrouted"


def plan_page(session: Session) -> PlanPage:
    """The plan in force, what waits and runs by level of what users sent, and the workers."""
    plan = session.scalar(select(Plan).where(Plan.in_force).order_by(Plan.epoch.desc()).limit(1))
    return PlanPage(
        plan=PlanOut.model_validate(plan) if plan else None,
        waiting=_open_by_level(session, (State.ACCEPTED, State.QUEUED)),
        running=_open_by_level(session, (State.RUNNING,)),
        workers=workers(session),
    )


def _open_by_level(session: Session, states: Sequence[State]) -> dict[str, int]:
    level = func.coalesce(Request.level, UNROUTED)
    query = select(level, func.count()).select_from(Request).join(Job).where(FROM_USERS, Request.state.in_(states))
    return dict(session.execute(query.group_by(level).order_by(level)).all())


def workers(session: Session) -> list[WorkerOut]:
    """Workers by name, with the models they hold and those they were assigned."""
    stale = func.now() - timedelta(seconds=settings().stale_s)
    newest = select(Assignment.worker, Assignment.models).distinct(Assignment.worker)
    newest = newest.order_by(Assignment.worker, Assignment.id.desc())
    assigned = dict(session.execute(newest).all())
    query = select(Worker, Worker.seen_at < stale).order_by(Worker.name)
    return [_worker_out(worker, lost, assigned) for worker, lost in session.execute(query)]


def _worker_out(worker: Worker, lost: bool, assigned: dict[str, list[str]]) -> WorkerOut:
    own = ("name", "device", "device_type", "models", "queues", "seen_at", "started_at")
    state = "lost" if lost and worker.state != "stopped" else worker.state
    models = assigned.get(worker.name, [])
    return WorkerOut(**{name: getattr(worker, name) for name in own}, state=state, assigned=models)
