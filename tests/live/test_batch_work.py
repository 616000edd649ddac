"""Batch work and late requests on real rows: windows are deadlines, and nobody waits for ever."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import update

from core.database import transaction
from core.tables import Request, ServiceClass, State
from core.workers import WorkerIdentity
from scheduler.control.tick import Scheduler
from scheduler.observation.queries import waiting_by_level
from tests.live.rows import depth, join, requests, submit
from workers.admission import PolicyAdmission, claim, claim_background, claim_owed

BATCH = {"state": State.QUEUED, "level": "exact", "epoch": 0, "service_class": ServiceClass.BATCH}
WORKER = WorkerIdentity("cpu0@test", uuid.UUID(int=1))


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_batch_work_out_of_slack_goes_with_the_interactive_requests(family: Any, database: Any) -> None:
    join()
    patient, pressed = submit(2, deadline_at=soon(3600), **BATCH), submit(2, deadline_at=soon(8), **BATCH)
    Scheduler(family).tick()
    assert [row.urgent for row in requests(patient)] == [False, False]
    assert [row.urgent for row in requests(pressed)] == [True, True]
    assert all("window ends soon" in row.note for row in requests(pressed))
    assert depth(database, "exact") + depth(database, "fs-4") == 2  # it needs a message now
    with transaction() as session:
        assert sum(waiting_by_level(session, family).values()) == 2
    admission = PolicyAdmission(family, WORKER.name, "cpu")
    claimed = claim(family, WORKER, ["exact", "fs-4"], admission)
    assert claimed is not None
    assert claimed.request.job_id == pressed
    background = claim_background(family, WORKER, ["exact", "fs-4"], admission)
    assert background is not None
    assert background.request.job_id == patient


def test_a_window_too_short_for_all_begins_in_time_though_most_of_it_is_still_accepted(family: Any) -> None:
    join()
    window = {"deadline_at": soon(300), "service_class": ServiceClass.BATCH}
    queued = submit(2, **{**BATCH, **window})
    Scheduler(family).tick()
    assert [row.urgent for row in requests(queued)] == [False, False]
    submit(6_000, **window)  # more than five minutes of one worker
    Scheduler(family).tick()
    assert [row.urgent for row in requests(queued)] == [True, True]


def test_a_level_asked_for_by_name_stays_when_batch_work_becomes_urgent(family: Any) -> None:
    join()
    job = submit(1, deadline_at=soon(5), **{**BATCH, "level": "fs-4", "level_asked": "fs-4"})
    Scheduler(family).tick()
    (row,) = requests(job)
    assert (row.urgent, row.level) == (True, "fs-4")


def test_what_missed_its_deadline_long_ago_is_claimed_now_and_then_though_others_wait(family: Any) -> None:
    join()
    Scheduler(family).tick()
    late = submit(3, state=State.QUEUED, level="exact", epoch=0, deadline_unreachable=True)
    submit(5, state=State.QUEUED, level="exact", epoch=0)
    admission = PolicyAdmission(family, WORKER.name, "cpu")
    assert claim(family, WORKER, ["exact", "fs-4"], admission) is not None
    assert claim_owed(family, WORKER, ["exact", "fs-4"], admission) is None  # not so long ago
    long_ago = datetime.now(UTC) - timedelta(minutes=5)
    with transaction() as session:
        session.execute(update(Request).where(Request.job_id == late).values(accepted_at=long_ago))
    first = claim_owed(family, WORKER, ["exact", "fs-4"], admission)
    assert first is not None
    assert first.request.job_id == late
    assert claim_owed(family, WORKER, ["exact", "fs-4"], admission) is None  # its share is used up for a while


def test_an_idle_worker_draws_what_was_set_aside_at_a_level_that_only_others_hold(family: Any) -> None:
    join()
    Scheduler(family).tick()
    aside = {"state": State.QUEUED, "level": "exact", "epoch": 0, "deadline_unreachable": True}
    qualities = {"exact": 1.0, "fs-4": 0.9}
    submit(1, **aside, level_asked="exact", qualities=qualities)
    submit(1, **aside, min_quality=0.95, qualities=qualities)
    free = submit(1, **aside, qualities=qualities)
    submit(1, deadline_at=soon(3600), **BATCH)
    admission = PolicyAdmission(family, WORKER.name, "cpu")
    claimed = claim_background(family, WORKER, ["fs-4"], admission)
    assert claimed is not None
    assert (claimed.request.job_id, claimed.request.level) == (free, "fs-4")
    assert "fs-4" in claimed.request.note
    assert claim_background(family, WORKER, ["fs-4"], admission) is None  # the others wait for who holds their level
