"""Reconciling rows with queues and workers, on real rows and a real broker, without workers."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest
import redis
from sqlalchemy import func, select, update

from core.attempts import begin_alone
from core.database import transaction
from core.families import Family
from core.tables import Attempt, Request, ServiceClass, State
from core.workers import WorkerIdentity, end_earlier
from scheduler.control.lost_workers import LostWorkers
from scheduler.control.reconcile import reconcile
from scheduler.control.router import Router
from tests.live.conftest import STALE_S
from tests.live.rows import attempt, depth, join, requests, submit

LEASE = timedelta(seconds=float(STALE_S))


@pytest.fixture(autouse=True)
def long_up(family: Family) -> None:
    """The database has been up for longer than a worker may be silent."""
    with transaction() as session:
        while not session.scalar(select(func.pg_postmaster_start_time() < func.clock_timestamp() - LEASE)):
            time.sleep(0.1)


def test_what_waits_where_nobody_serves_any_more_is_routed_again(family):
    join(models=("large",))
    stranded = submit(2, state=State.QUEUED, level="sm-small", epoch=1)
    kept = submit(1, state=State.QUEUED, level="sm-small", epoch=1, level_asked="sm-small")
    reconcile(family)
    assert {row.state for row in requests(stranded)} == {State.ACCEPTED}
    Router(family).route()
    assert {row.level for row in requests(stranded)} == {"exact"}
    assert requests(kept)[0].state == State.QUEUED  # asked for by name: the tick finds it a worker


def test_what_waits_at_a_level_that_is_not_offered_any_more_runs_at_the_next_one_and_says_why(family):
    join(models=("large",))
    levels = {name: level for name, level in family.levels.items() if name != "sm-small"}
    lacking = family.model_copy(update={"levels": levels, "withheld": {"sm-small": "its calibration is damaged"}})
    named = submit(1, state=State.QUEUED, level="sm-small", epoch=1, level_asked="sm-small")
    planned = submit(1, state=State.QUEUED, level="sm-small", epoch=1)
    gone = submit(1, level_asked="sm-tiny")
    reconcile(lacking)
    Router(lacking).route()
    assert {row.level for job in (named, planned, gone) for row in requests(job)} == {"exact"}
    reason = "exact instead of sm-small, which is not offered: its calibration is damaged"
    assert requests(named)[0].note == reason
    assert requests(gone)[0].note == "exact instead of sm-tiny, which is not offered any more"


def test_a_silent_workers_requests_are_tried_elsewhere_however_often_that_happens(family):
    boot = join(seen_ago_s=60.0)
    job = submit(2, state=State.QUEUED, level="exact", epoch=1)
    for _ in range(6):
        attempt(job, boot)
        reconcile(family)
        assert {row.state for row in requests(job)} == {State.QUEUED}


def test_a_request_that_is_alone_each_time_its_worker_is_lost_fails_and_is_told_why(family):
    boot = join(seen_ago_s=60.0)
    job = submit(1, state=State.QUEUED, level="exact", epoch=1)
    (row,) = requests(job)
    for alone in (False, False, True, True, True):
        assert row.state == State.QUEUED
        attempt(job, boot)
        if alone:
            (running,) = open_attempts(WorkerIdentity("cpu0@test", boot))
            begin_alone(running)
        reconcile(family)
        (row,) = requests(job)
    assert (row.state, row.error_code) == (State.FAILED, "worker_lost")
    assert row.error.endswith("it is taken to be the cause.")


def test_a_worker_that_starts_gives_up_what_an_earlier_run_of_it_had_before_it_is_ready(family):
    job = submit(1, state=State.QUEUED, level="exact", epoch=1)
    attempt(job, join())  # its heart has just beaten
    assert LostWorkers().take_back() == 0
    end_earlier("cpu0@test")
    assert LostWorkers().take_back() == 1


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_who_was_away_itself_calls_nobody_silent_before_everybody_could_be_heard(family):
    clock = Clock()
    lost_workers = LostWorkers(clock)
    job = submit(1, state=State.QUEUED, level="exact", epoch=1)
    attempt(job, join(seen_ago_s=60.0))
    lost_workers._turn_at = -60.0  # a minute in which the database answered no reconciliation
    for _ in range(8):
        assert lost_workers.take_back() == 0
        clock.now += LEASE.total_seconds() / 4
        if clock.now > LEASE.total_seconds():
            break
    assert lost_workers.take_back() == 1


def test_after_a_restart_of_the_database_silence_counts_from_then(family, monkeypatch):
    job = submit(1, state=State.QUEUED, level="exact", epoch=1)
    attempt(job, join(seen_ago_s=60.0))
    monkeypatch.setattr("scheduler.control.lost_workers.UP_SINCE", func.now() - LEASE / 2)
    assert LostWorkers().take_back() == 0
    assert requests(job)[0].state == State.RUNNING


def test_a_worker_frozen_in_a_transaction_keeps_only_its_own_request(family):
    boot = join(seen_ago_s=60.0)
    frozen, other = (submit(1, state=State.QUEUED, level="exact", epoch=1) for _ in range(2))
    attempt(frozen, boot)
    attempt(other, boot)
    with transaction() as session:
        session.execute(select(Request).where(Request.job_id == frozen).with_for_update())
        assert LostWorkers().take_back() == 1
    assert [requests(job)[0].state for job in (frozen, other)] == [State.RUNNING, State.QUEUED]
    assert LostWorkers().take_back() == 1


def open_attempts(worker: WorkerIdentity) -> list[uuid.UUID]:
    with transaction() as session:
        return list(session.scalars(select(Attempt.id).where(Attempt.boot == worker.boot, Attempt.outcome.is_(None))))


def test_a_restarted_workers_requests_are_taken_back_though_its_heart_beats(family):
    join()
    job = submit(1, state=State.QUEUED, level="exact", epoch=1)
    attempt(job, boot=uuid.uuid4())
    reconcile(family)
    assert requests(job)[0].state == State.QUEUED


def test_a_deep_backlog_is_not_published_again(family, database):
    join()
    submit(200)
    Router(family).route()
    with transaction() as session:
        session.execute(update(Request).values(published_at=datetime.now(UTC) - timedelta(minutes=5)))
    assert reconcile(family).published == 0
    with redis.Redis.from_url(database.broker_url) as client:
        client.flushdb()
    assert reconcile(family).published == 200
    assert depth(database, "exact") + depth(database, "fs-4") == 200


def test_background_work_is_not_published_again_workers_find_it_by_its_row(family, database):
    """After a burst thousands may be set aside: a message for each would cost the others a claim for each."""
    join()
    long_ago = datetime.now(UTC) - timedelta(minutes=5)
    submit(100, state=State.QUEUED, level="exact", epoch=1, deadline_unreachable=True, published_at=long_ago)
    submit(100, state=State.QUEUED, level="exact", epoch=1, service_class=ServiceClass.BATCH, published_at=long_ago)
    waits = submit(3, state=State.QUEUED, level="exact", epoch=1, published_at=long_ago)
    assert reconcile(family).published == 3
    assert all(row.published_at > long_ago for row in requests(waits))
