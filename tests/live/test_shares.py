"""Fair shares on real rows: what a flood has in front is set aside once another tenant wants the devices."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import func, select, update

from core import open_requests
from core.database import transaction
from core.tables import Job, Request, ServiceClass, State
from core.tenant_tables import Tenant
from scheduler.control.shares import settle
from scheduler.observation import demand
from tests.conftest import Services
from tests.live.rows import of_tenant

FAMILY: Any = SimpleNamespace(id="toy", levels={"exact": None})


@pytest.fixture(autouse=True)
def tenants(database: Services) -> None:
    with transaction() as session:
        session.add_all([Tenant(name="quiet"), Tenant(name="loud", weight=3.0), Tenant(name="silent")])


def queue(tenant: str, count: int, service_class: ServiceClass = ServiceClass.INTERACTIVE) -> uuid.UUID:
    """So many queued requests of a tenant, the deadline of each a little later than the one before."""
    return of_tenant(tenant, count, 60.0, service_class, state=State.QUEUED, level="exact")


@dataclass
class Seen:
    """A snapshot, as far as shares read it: `in_time` requests can be in time."""

    in_time: float
    readings: Any = field(init=False)
    load: Any = field(default_factory=lambda: SimpleNamespace(workers={"m": 1}))

    def __post_init__(self) -> None:
        with transaction() as session:
            found = demand.wanting_tenants(session, FAMILY)
        weights = {one.name: one.weight for one in found}
        self.readings = SimpleNamespace(tenants=weights, in_front=tuple(one.name for one in found if one.in_front))
        self.policy = SimpleNamespace(latencies=SimpleNamespace(depth={"m": self.in_time}))


def in_front() -> dict[str, int]:
    with transaction() as session:
        return {tenant: n for tenant, _, front, n in open_requests.queued_by_tenant(session, FAMILY) if front}


def test_who_wants_the_devices_is_known_with_its_weight() -> None:
    queue("loud", 1)
    queue("quiet", 1, ServiceClass.BATCH)
    with transaction() as session:
        found = {one.name: (one.weight, one.in_front) for one in demand.wanting_tenants(session, FAMILY)}
    assert found == {"loud": (3.0, True), "quiet": (1.0, False)}


def test_who_has_something_to_be_routed_wants_the_devices_however_long_ago_it_came() -> None:
    of_tenant("loud", 5, 60.0)
    queue("silent", 1)
    with transaction() as session:
        session.execute(update(Job).values(created_at=func.now() - timedelta(minutes=5)))
        found = {one.name: one.in_front for one in demand.wanting_tenants(session, FAMILY)}
    assert found == {"loud": True, "silent": False}


def test_a_flood_alone_stays_in_front() -> None:
    queue("loud", 50)
    seen: Any = Seen(in_time=8)
    assert settle(FAMILY, seen, ["loud"]) == 0
    assert in_front() == {"loud": 50}


def test_once_another_wants_them_each_keeps_what_its_share_can_have_in_time() -> None:
    flood = queue("loud", 50)
    queue("quiet", 1)
    seen: Any = Seen(in_time=8)
    assert settle(FAMILY, seen, ["quiet"]) == 44
    assert in_front() == {"loud": 6, "quiet": 1}
    with transaction() as session:
        rows = session.scalars(select(Request).where(Request.job_id == flood).order_by(Request.position)).all()
    assert [row.over_share for row in rows] == [False] * 6 + [True] * 44
    assert all(row.deadline_unreachable == row.over_share for row in rows)
    assert "other tenants" in str(rows[-1].note)
    assert settle(FAMILY, seen, ["quiet"]) == 0


def test_batch_work_of_another_takes_nobody_s_place_in_front() -> None:
    queue("loud", 50)
    queue("quiet", 5, ServiceClass.BATCH)
    seen: Any = Seen(in_time=8)
    assert settle(FAMILY, seen, []) == 0


def test_what_was_set_aside_is_no_demand() -> None:
    queue("loud", 50)
    queue("quiet", 2)
    seen: Any = Seen(in_time=8)
    settle(FAMILY, seen, ["quiet"])
    now = datetime.now(UTC).timestamp() // 5 * 5
    assert sum(demand.arrivals(_session(), FAMILY, 5.0, now - 60, now + 10)) == 8


def test_what_a_flood_has_sent_is_no_demand_before_it_is_routed_within_its_share() -> None:
    of_tenant("loud", 50, 60.0)
    queue("quiet", 2)
    now = datetime.now(UTC).timestamp() // 5 * 5
    assert sum(demand.arrivals(_session(), FAMILY, 5.0, now - 60, now + 10, several=True)) == 2
    assert sum(demand.arrivals(_session(), FAMILY, 5.0, now - 60, now + 10)) == 52


def _session() -> Any:
    from core.database import _maker

    return _maker()()


def test_the_waiting_of_one_tenant_are_read_alone() -> None:
    queue("loud", 40)
    queue("quiet", 3)
    mine = open_requests.waiting(FAMILY, ["exact"], False, 32, "quiet")
    assert len(mine) == 3
    everybody = open_requests.waiting(FAMILY, ["exact"], False, 32)
    assert len(everybody) == 32
    assert Counter(open_requests.running_by_tenant(FAMILY)) == Counter()
