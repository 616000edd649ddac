"""Whether work flows, as rows tell it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, update

from core.database import transaction
from core.families import Family, load_family
from core.tables import Attempt, Job, Request, State, Worker
from scheduler.observation.flow import stalled_workers, work_flows

FAMILY = load_family("embedded")


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


@pytest.fixture
def family(database: Any) -> Family:
    """A worker that has long been ready, and a request that has long waited for its level."""
    job = Job(id=uuid.uuid4(), family=FAMILY.id, source="api", size=1)
    plain = {"prompt": "a fox", "seed": 1, "width": 64, "height": 64, "steps": 20, "guidance": 2.0}
    row = Request(position=0, family=FAMILY.id, state=State.QUEUED, level=FAMILY.reference, **plain)
    row.routed_at, row.deadline_at = ago(60), ago(-600)
    job.requests = [row]
    queues = FAMILY.queues_of([FAMILY.level(FAMILY.reference).model])
    about = {"device": "cpu:0", "device_type": "cpu", "family": FAMILY.id, "state": "ready", "models": [], "stats": {}}
    worker = Worker(name="cpu0@test", boot=uuid.uuid4(), queues=queues, started_at=ago(60), seen_at=ago(-60), **about)
    with transaction() as session:
        session.add_all([job, worker])
    return FAMILY


def change(table: type, **values: object) -> None:
    with transaction() as session:
        session.execute(update(table).values(**values))


def attempt(outcome: str | None, ended_at: datetime | None) -> None:
    with transaction() as session:
        request = session.query(Request.id).scalar()
        about = {"worker": "cpu0@test", "boot": uuid.uuid4(), "level": "exact", "model": "large"}
        session.add(Attempt(request_id=request, number=1, outcome=outcome, ended_at=ended_at, **about))


def flows() -> bool:
    with transaction() as session:
        return work_flows(session, FAMILY)


def test_an_idle_worker_with_a_request_that_waits_for_it_stalls(family: Family) -> None:
    with transaction() as session:
        assert stalled_workers(session, family) == ["cpu0@test"]
    assert not flows()


@pytest.mark.parametrize(
    ("table", "values"),
    [
        (Request, {"routed_at": func.now()}),  # waits since just now
        (Request, {"state": State.DONE}),
        (Request, {"deadline_unreachable": True}),  # waits for an idle worker, and may
        (Worker, {"queues": ["t2i.embedded.other"]}),
        (Worker, {"started_at": func.now()}),
    ],
)
def test_otherwise_work_flows(family: Family, table: type, values: dict[str, object]) -> None:
    change(table, **values)
    assert flows()


@pytest.mark.parametrize(("outcome", "ended_s_ago"), [(None, None), ("done", 5.0)])
def test_a_worker_that_is_at_work_or_was_just_now_does_not_stall(
    family: Family, outcome: str | None, ended_s_ago: float | None
) -> None:
    attempt(outcome, None if ended_s_ago is None else ago(ended_s_ago))
    assert flows()


def test_without_any_worker_work_does_not_flow(family: Family) -> None:
    change(Worker, seen_at=ago(600))
    assert not flows()
    change(Request, state=State.DONE)
    assert flows()
