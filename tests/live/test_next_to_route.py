"""Whose requests the router takes next, from real rows."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

from sqlalchemy import select, update

from core.database import transaction
from core.tables import Request, ServiceClass, State
from scheduler.control.next_to_route import AHEAD, MOST, Next, next_to_route
from tests.conftest import Services
from tests.live.rows import of_tenant, seen

FAMILY: Any = SimpleNamespace(id="toy", levels={"exact": None})


def next_of(in_time: float = 1000.0, *in_front: str) -> Next:
    with transaction() as session:
        return next_to_route(session, FAMILY, seen(in_time, *in_front))


def taken() -> list[Request]:
    return next_of().requests


def queue(some: list[Request], **columns: object) -> None:
    """They are queued, as the router does it."""
    ids = [row.id for row in some]
    with transaction() as session:
        session.execute(update(Request).where(Request.id.in_(ids)).values(state=State.QUEUED, level="exact", **columns))


def all_taken(in_time: float, *in_front: str) -> Counter[tuple[str, bool]]:
    """How many are taken of each tenant, in front and to be set aside, until no more are."""
    found = Counter[tuple[str, bool]]()
    while (batch := next_of(in_time, *in_front)).requests:
        queue(batch.requests, deadline_unreachable=batch.set_aside)
        found.update((row.tenant, batch.set_aside) for row in batch.requests)
    return found


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


def test_no_more_is_read_of_a_tenant_than_its_share_can_have_in_time(database: Services) -> None:
    of_tenant("loud", 100, 60.0)
    of_tenant("quiet", 3, 90.0)
    assert all_taken(20.0, "loud", "quiet") == {("loud", False): 10, ("quiet", False): 3, ("loud", True): 90}


def test_nothing_of_a_flood_is_in_front_while_another_tenant_wants_the_devices(database: Services) -> None:
    of_tenant("loud", 500, 60.0)
    of_tenant("quiet", 3, 90.0)
    assert all_taken(20.0, "loud", "quiet") == {("quiet", False): 3, ("loud", True): AHEAD}


def test_who_was_routed_a_moment_ago_counts_before_the_readings_know_it(database: Services) -> None:
    of_tenant("loud", 100, 60.0)
    with transaction() as session:
        alone = next_to_route(session, FAMILY, seen(4.0, "loud"))
        both = next_to_route(session, FAMILY, seen(4.0, "loud"), ["quiet"])
    assert (len(alone.requests), alone.set_aside) == (MOST, False)
    assert (len(both.requests), both.set_aside) == (MOST, True)


def test_a_flood_alone_is_taken_as_it_comes(database: Services) -> None:
    of_tenant("loud", 300, -5.0)
    assert all_taken(20.0, "loud") == {("loud", False): 300}


def test_what_is_late_by_its_turn_is_set_aside_and_keeps_nothing_new_from_the_front(database: Services) -> None:
    old = of_tenant("loud", 400, -50.0)
    of_tenant("loud", 4, 60.0)
    batch = next_of(20.0, "loud", "quiet")
    assert len(batch.requests) == 4
    assert not batch.set_aside
    assert all(row.job_id != old for row in batch.requests)
    queue(batch.requests)
    late = next_of(20.0, "loud", "quiet")
    assert late.set_aside
    assert [row.position for row in late.requests] == list(range(MOST))


def test_what_stays_accepted_is_taken_as_room_comes(database: Services) -> None:
    of_tenant("loud", AHEAD + 100, -50.0)
    all_taken(20.0, "quiet")
    with transaction() as session:
        drawn = select(Request.id).where(Request.state == State.QUEUED).limit(40).scalar_subquery()
        session.execute(update(Request).where(Request.id.in_(drawn)).values(state=State.DONE))
    assert all_taken(20.0, "quiet") == {("loud", True): 40}


def test_a_queue_full_of_one_tenant_s_background_work_keeps_no_other_s_from_it(database: Services) -> None:
    of_tenant("loud", AHEAD + 50, -5.0)
    of_tenant("loud", AHEAD + 50, 90.0, ServiceClass.BATCH)
    all_taken(20.0, "quiet")
    of_tenant("quiet", 2, -5.0)
    of_tenant("quiet", 2, 60.0, ServiceClass.BATCH)
    found = next_of(20.0)
    assert found.set_aside
    assert [row.tenant for row in found.requests] == ["quiet"] * 2
    queue(found.requests, deadline_unreachable=True)
    found = next_of(20.0, "loud", "quiet")
    assert [(row.tenant, row.service_class) for row in found.requests] == [("quiet", ServiceClass.BATCH)] * 2
