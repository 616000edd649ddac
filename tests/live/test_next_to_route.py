"""Whose requests the router takes next, from real rows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from sqlalchemy import select

from core.database import transaction
from core.tables import Request, ServiceClass
from scheduler.control.next_to_route import MOST, next_to_route
from tests.conftest import Services
from tests.live.rows import of_tenant

FAMILY: Any = SimpleNamespace(id="toy", levels={"exact": None})


def taken() -> list[Request]:
    with transaction() as session:
        return next_to_route(session, FAMILY, 256)


def test_who_has_one_waits_for_nobody_s_thousand(database: Services) -> None:
    of_tenant("loud", 1000, 5.0)
    of_tenant("nobody's row", 1, 60.0)  # later than all of them, of a tenant without a row
    of_tenant("another", 2, 70.0)
    found = taken()
    assert len(found) == MOST
    assert [row.tenant for row in found[:5]] == ["loud", "nobody's row", "another", "loud", "another"]
    assert {row.tenant for row in found[5:]} == {"loud"}


def test_a_tenant_s_own_come_by_priority_and_deadline(database: Services) -> None:
    of_tenant("one", 2, 50.0)
    of_tenant("one", 1, 5.0)
    of_tenant("one", 1, 90.0)
    with transaction() as session:
        last = max(session.scalars(select(Request)), key=lambda row: row.deadline_at)
        last.priority = 1
    order = [(row.priority, row.deadline_at) for row in taken()]
    assert len(order) == 4
    assert order == sorted(order, key=lambda each: (-each[0], each[1]))
    assert order[0][0] == 1


def test_batch_work_comes_after_interactive_and_by_turns_too(database: Services) -> None:
    of_tenant("loud", 100, 5.0, ServiceClass.BATCH)
    of_tenant("quiet", 1, 60.0, ServiceClass.BATCH)
    assert [row.tenant for row in taken()[:2]] == ["loud", "quiet"]
    of_tenant("quiet", 3, 90.0)
    assert [row.service_class for row in taken()] == [ServiceClass.INTERACTIVE] * 3
