"""Whose requests the router takes next, from real rows."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from sqlalchemy import select

from core.database import transaction
from core.requests import new_requests
from core.tables import Job, Request, ServiceClass
from scheduler.control.next_to_route import MOST, next_to_route
from tests.conftest import Services

FAMILY: Any = SimpleNamespace(id="toy", levels={"exact": None})


def accept(tenant: str, count: int, after_s: float, service_class: ServiceClass = ServiceClass.INTERACTIVE) -> None:
    """So many accepted requests, due so many seconds from now and each a little later than the one before."""
    now = datetime.now(UTC)
    job = Job(id=uuid.uuid4(), family="toy", source="api", size=count, tenant=tenant, service_class=service_class)
    job.created_at = now
    row: dict[str, Any] = {"prompt": "a", "seed": 1, "width": 64, "height": 64, "steps": 4, "guidance": 1.0}
    with transaction() as session:
        session.add(job)
        session.flush()
        new_requests(session, job, [{**row, "position": place} for place in range(count)], now)
        for request in session.scalars(select(Request).where(Request.job_id == job.id)):
            request.deadline_at = now + timedelta(seconds=after_s + request.position / 100)


def taken() -> list[Request]:
    with transaction() as session:
        return next_to_route(session, FAMILY, 256)


def test_who_has_one_waits_for_nobody_s_thousand(database: Services) -> None:
    accept("loud", 1000, 5.0)
    accept("nobody's row", 1, 60.0)  # later than all of them, of a tenant without a row
    accept("another", 2, 70.0)
    found = taken()
    assert len(found) == MOST
    assert [row.tenant for row in found[:5]] == ["loud", "nobody's row", "another", "loud", "another"]
    assert {row.tenant for row in found[5:]} == {"loud"}


def test_a_tenant_s_own_come_by_priority_and_deadline(database: Services) -> None:
    accept("one", 2, 50.0)
    accept("one", 1, 5.0)
    accept("one", 1, 90.0)
    with transaction() as session:
        last = max(session.scalars(select(Request)), key=lambda row: row.deadline_at)
        last.priority = 1
    order = [(row.priority, row.deadline_at) for row in taken()]
    assert len(order) == 4
    assert order == sorted(order, key=lambda each: (-each[0], each[1]))
    assert order[0][0] == 1


def test_batch_work_comes_after_interactive_and_by_turns_too(database: Services) -> None:
    accept("loud", 100, 5.0, ServiceClass.BATCH)
    accept("quiet", 1, 60.0, ServiceClass.BATCH)
    assert [row.tenant for row in taken()[:2]] == ["loud", "quiet"]
    accept("quiet", 3, 90.0)
    assert [row.service_class for row in taken()] == [ServiceClass.INTERACTIVE] * 3
