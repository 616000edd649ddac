"""Routing on real rows and a real broker, without workers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update

from core import publishing
from core.database import transaction
from core.publishing import publish_requests
from core.tables import Request, ServiceClass, State
from scheduler.control.next_to_route import AHEAD
from scheduler.control.router import Router
from scheduler.control.tick import Scheduler
from tests.live.rows import depth, join, requests, submit


def test_without_workers_or_plan_the_reference_level_is_routed_to(family, database):
    job = submit(3)
    assert Router(family).route() == 3
    assert {(row.level, row.state, row.epoch) for row in requests(job)} == {("exact", State.QUEUED, 0)}
    assert depth(database, "exact") == 3
    join()
    assert Scheduler(family).tick() is not None  # rows without predictions are no obstacle to planning


def test_thousands_are_routed_and_each_is_published_once(family, database):
    join()
    Scheduler(family).tick()
    job = submit(2_000)
    router = Router(family)
    assert router.route() == 2_000
    assert router.route() == 0
    rows = requests(job)
    assert all(row.state == State.QUEUED and row.published_at and row.qualities for row in rows)
    assert depth(database, "exact") + depth(database, "fs-4") == 2_000


def test_while_demand_fits_requests_are_sent_before_their_prompts_are_read(family, database, monkeypatch):
    join()
    Scheduler(family).tick()
    router, job = Router(family), submit(3)
    sent_when_read = []
    read = router.predictions.predict

    def predict(rows, means):
        sent_when_read.append(depth(database, "exact"))
        return read(rows, means)

    monkeypatch.setattr(router.predictions, "predict", predict)
    assert router.route() == 3
    assert sent_when_read == [3]
    rows = requests(job)
    assert {row.level for row in rows} == {"exact"}
    assert all(row.qualities["exact"] == row.predicted_quality == 1.0 for row in rows)


def test_requests_whose_prompts_cannot_be_read_are_sent_all_the_same(family, database, monkeypatch):
    join()
    Scheduler(family).tick()
    router, job = Router(family), submit(2)

    def predict(rows, means):
        raise RuntimeError("no encoder")

    monkeypatch.setattr(router.predictions, "predict", predict)
    assert router.route() == 2
    assert depth(database, "exact") == 2
    assert [row.qualities for row in requests(job)] == [None, None]


def test_a_level_asked_for_and_a_floor_are_kept_whatever_the_load(family):
    join()
    submit(400)
    scheduler, router = Scheduler(family), Router(family)
    scheduler.tick()
    fixed, floored = submit(20, level_asked="sm-small"), submit(20, min_quality=0.95)
    router.route()
    assert {row.level for row in requests(fixed)} == {"sm-small"}
    assert {row.level for row in requests(floored)} == {"exact"}


def test_what_is_past_its_deadline_stays_set_aside_when_it_is_routed_again(family, database):
    join()
    late = submit(2, deadline_unreachable=True, deadline_at=datetime.now(UTC) - timedelta(seconds=5))
    early = submit(1, deadline_unreachable=True, deadline_at=datetime.now(UTC) + timedelta(minutes=5))
    Router(family).route()
    assert {row.deadline_unreachable for row in requests(late)} == {True}
    assert {row.deadline_unreachable for row in requests(early)} == {False}
    assert depth(database, "exact") + depth(database, "fs-4") == 1


def test_an_interactive_request_is_routed_before_thousands_of_batch_work(family, database):
    join()
    Scheduler(family).tick()
    many, urgent = submit(1_000, service_class=ServiceClass.BATCH), submit(1)
    assert Router(family).route() == AHEAD + 1
    first = requests(urgent)[0].routed_at
    assert all(row.routed_at > first for row in requests(many) if row.routed_at)


def test_of_batch_work_no_more_is_queued_than_workers_come_to_soon_and_that_in_order(family, database):
    join()
    Scheduler(family).tick()
    soon = datetime.now(UTC) + timedelta(seconds=5)
    many, router = submit(AHEAD + 100, service_class=ServiceClass.BATCH), Router(family)
    pressing = submit(1, service_class=ServiceClass.BATCH, deadline_at=soon)
    first = submit(1, service_class=ServiceClass.BATCH, priority=1)
    assert router.route() == AHEAD
    assert router.route() == 0
    assert {row.state for row in (*requests(pressing), *requests(first))} == {State.QUEUED}
    assert sum(row.state == State.ACCEPTED for row in requests(many)) == 102
    with transaction() as session:
        drawn = select(Request.id).where(Request.job_id == many, Request.state == State.QUEUED).limit(40)
        session.execute(update(Request).where(Request.id.in_(drawn)).values(state=State.DONE))
    assert router.route() == 40


def test_batch_work_is_found_by_its_row_and_takes_no_place_in_line(family, database):
    join()
    Scheduler(family).tick()
    job = submit(200, service_class=ServiceClass.BATCH)
    Router(family).route()
    assert {(row.level, row.qualities, row.predicted_quality) for row in requests(job)} == {("exact", None, None)}
    assert depth(database, "exact") == 0


def test_no_queue_is_given_more_messages_than_the_window(family, database, monkeypatch):
    monkeypatch.setattr(publishing, "WINDOW", 100)
    job = submit(250)
    Router(family).route()
    assert 100 <= depth(database, "exact") <= 300
    assert publish_requests(requests(job)) == 0
    assert sum(row.published_at is None for row in requests(job)) > 0
