"""What live workers did in a window of time, for a trace: rows of `attempt`, `request`, `plan` and `assignment`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.chrome_trace import Schedule, Slice, Tick
from core.errors import ArgusError
from core.families import load_family
from core.tables import Assignment, Attempt, Plan, Request, Worker

OPEN = ("accepted", "queued")


def read_schedule(session: Session, since: datetime, until: datetime, job: str | None = None) -> Schedule:
    """Requests that were accepted from `since` to `until`; seconds count from `since`."""
    wanted = [Request.accepted_at >= since, Request.accepted_at < until]
    wanted += [Request.job_id == job] if job else []
    devices = dict(session.execute(select(Worker.name, Worker.device_type)).all())
    tries = session.execute(select(Attempt, Request).join(Request).where(*wanted).order_by(Attempt.started_at)).all()
    loads = session.scalars(
        select(Assignment).where(Assignment.applied_at >= since, Assignment.created_at < until).order_by(Assignment.id)
    )
    plans = session.scalars(select(Plan).where(Plan.created_at >= since, Plan.created_at < until).order_by(Plan.epoch))
    times = session.execute(
        select(Request.accepted_at, Request.started_at, Request.stored_at, Request.state).where(*wanted)
    )
    return Schedule(
        [
            *(_try(tried, request, devices, since) for tried, request in tries),
            *(_load(load, devices, since) for load in loads),
        ],
        [_tick(plan, since) for plan in plans],
        list(_waiting(times, since)),
        levels_of({request.family for _, request in tries}),
    )


def levels_of(families: Iterable[str]) -> tuple[str, ...]:
    """The levels of these families, as far as they are still known here."""
    found: dict[str, None] = {}
    for name in sorted(families):
        try:
            found |= dict.fromkeys(load_family(name).levels)
        except ArgusError:
            continue
    return tuple(found)


def _try(tried: Attempt, request: Request, devices: dict[str, str], since: datetime) -> Slice:
    end = tried.ended_at or datetime.now(UTC)
    stored = request.stored_at if tried.outcome == "done" else None
    args: dict[str, Any] = {
        **{"request": str(request.id), "prompt": request.prompt, "attempt": tried.number},
        **{"deadline": _seconds(request.deadline_at, since), "late": (stored or end) > request.deadline_at},
        **{"outcome": tried.outcome or "running", "epoch": request.epoch},
        "predicted_quality": (request.qualities or {}).get(tried.level, request.predicted_quality),
        **{"score": request.score, "steps_run": tried.steps_run, "batch_mean": tried.batch_mean},
    }
    known = {name: value for name, value in args.items() if value is not None}
    device = devices.get(tried.worker, "gone")
    start = _seconds(tried.started_at, since)
    return Slice(device, tried.worker, start, _seconds(end, since), tried.level, tried.level, known)


def _load(load: Assignment, devices: dict[str, str], since: datetime) -> Slice:
    """From being told to the worker's word that it holds them."""
    applied = load.applied_at or load.created_at
    args = {"epoch": load.epoch, "reason": load.reason}
    device, name = devices.get(load.worker, "gone"), f"load {', '.join(load.models)}"
    return Slice(device, load.worker, _seconds(load.created_at, since), _seconds(applied, since), name, None, args)


def _tick(plan: Plan, since: datetime) -> Tick:
    args = {"family": plan.family, "policy": plan.policy, "status": plan.status, "reason": plan.reason}
    return Tick(_seconds(plan.created_at, since), plan.epoch, args)


def _waiting(times: Iterable[Sequence[Any]], since: datetime) -> Iterator[tuple[float, dict[str, int]]]:
    """How many were accepted and not started yet, after each change."""
    changes = []
    for accepted, started, stored, state in times:
        changes.append((_seconds(accepted, since), 1))
        left = started or stored
        if left or state not in OPEN:
            changes.append((_seconds(left or accepted, since), -1))
    count = 0
    for at, change in sorted(changes):
        count += change
        yield at, {"requests": count}


def _seconds(time: datetime, since: datetime) -> float:
    return (time - since).total_seconds()
