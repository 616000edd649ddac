"""Rows as the app, workers and scorer write them, and what the broker holds."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import redis
from sqlalchemy import select

from core.database import transaction
from core.families import load_family
from core.requests import new_requests
from core.settings import settings
from core.tables import Attempt, Image, Job, Request, Score, ServiceClass, State, Worker


def submit(count: int = 1, **columns: Any) -> uuid.UUID:
    """Commit a job as the app does."""
    job = Job(id=uuid.uuid4(), family="toy", source="api", size=count)
    plain = {"family": "toy", "seed": 1, "width": 32, "height": 32, "steps": 8, "guidance": 2.0}
    plain["deadline_at"] = datetime.now(UTC) + timedelta(seconds=60)
    rows = [Request(position=i, **{"prompt": f"{i} foxes", **plain, **columns}) for i in range(count)]
    with transaction() as session:
        session.add(job)
        session.flush()
        for row in rows:
            row.job_id = job.id
        session.add_all(rows)
    return job.id


def of_tenant(
    tenant: str, count: int, after_s: float, service_class: ServiceClass = ServiceClass.INTERACTIVE, **columns: Any
) -> uuid.UUID:
    """Commit a job of a tenant; its requests are due from so many seconds on, each a little after the one before."""
    now = datetime.now(UTC)
    job = Job(id=uuid.uuid4(), family="toy", source="api", size=count, created_at=now)
    job.tenant, job.service_class = tenant, service_class
    plain = {"prompt": "a", "seed": 1, "width": 64, "height": 64, "steps": 4, "guidance": 1.0}
    with transaction() as session:
        session.add(job)
        session.flush()
        new_requests(session, job, [{**plain, "position": place} for place in range(count)], now)
        for request in session.scalars(select(Request).where(Request.job_id == job.id)):
            request.deadline_at = now + timedelta(seconds=after_s + request.position / 100)
            for name, value in columns.items():
                setattr(request, name, value)
    return job.id


def seen(in_time: float, *in_front: str) -> Any:
    """A snapshot, as far as the router reads it: so many requests can be in time, and who sent something of late."""
    readings = SimpleNamespace(tenants={}, in_front=in_front)
    policy = SimpleNamespace(latencies=SimpleNamespace(depth={"m": in_time}))
    return SimpleNamespace(readings=readings, policy=policy, workers=(), load=SimpleNamespace(workers={"m": 1}))


def requests(job: uuid.UUID) -> list[Request]:
    with transaction() as session:
        return list(session.scalars(select(Request).where(Request.job_id == job).order_by(Request.position)))


def join(name: str = "cpu0@test", models: tuple[str, ...] = ("large",), seen_ago_s: float = -3600.0) -> uuid.UUID:
    """A worker's row, as its heartbeat writes it; returns its boot."""
    family, boot = load_family_of_test(), uuid.uuid4()
    with transaction() as session:
        row = Worker(name=name, boot=boot, device="cpu:0", device_type="cpu", family="toy", state="ready", stats={})
        row.models, row.queues = list(models), family.queues_of(list(models))
        row.seen_at = datetime.now(UTC) - timedelta(seconds=seen_ago_s)
        session.merge(row)
    return boot


def load_family_of_test():
    return load_family(settings().family)


def depth(database: Any, level: str) -> int:
    with redis.Redis.from_url(database.broker_url) as client:
        return int(client.llen(f"t2i.toy.{level}"))


def attempt(job: uuid.UUID, boot: uuid.UUID, worker: str = "cpu0@test") -> None:
    """The job's requests are being worked at."""
    with transaction() as session:
        for row in session.scalars(select(Request).where(Request.job_id == job)):
            row.state, row.worker, row.attempts = State.RUNNING, worker, row.attempts + 1
            number = row.attempts
            session.add(
                Attempt(request_id=row.id, number=number, worker=worker, boot=boot, level="exact", model="large")
            )


def scored(job: uuid.UUID, level: str, value: float) -> None:
    """The job's requests have an image of this level, scored."""
    with transaction() as session:
        for row in session.scalars(select(Request).where(Request.job_id == job)):
            row.state, row.level, row.stored_at = State.DONE, level, datetime.now(UTC)
            tried = Attempt(
                id=uuid.uuid4(), request_id=row.id, number=1, worker="w", boot=uuid.uuid4(), level=level, model="large"
            )
            tried.outcome = "done"
            session.add(tried)
            session.flush()
            image = Image(id=uuid.uuid4(), request_id=row.id, attempt_id=tried.id, key="k", width=32, height=32)
            image.bytes, image.sha256, image.level, image.model, image.family_version = 1, "0", level, "large", "1"
            session.add(image)
            session.flush()
            session.add(Score(image_id=image.id, scorer="s", value=value))


def timed(level: str, model: str, worker: str, started: float, ended: float, step_s: float | None) -> None:
    """A finished attempt of eight steps, alone in its forwards; times in seconds from now."""
    job, now = submit(1, state=State.DONE, level=level), datetime.now(UTC)
    with transaction() as session:
        request = session.scalars(select(Request).where(Request.job_id == job)).one()
        row = Attempt(request_id=request.id, number=1, worker=worker, boot=uuid.uuid4(), level=level, model=model)
        row.outcome, row.denoise_s, row.steps_run, row.batch_mean = "done", ended - started, 8, 1.0
        row.step_s, row.work_s, row.share_s = step_s, step_s, step_s and 8 * step_s
        row.started_at, row.ended_at = now + timedelta(seconds=started), now + timedelta(seconds=ended)
        session.add(row)
