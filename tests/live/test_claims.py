"""Many workers want the most urgent request; each gets one."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select

from core.database import transaction
from core.families import load_family
from core.tables import Request, State
from core.workers import WorkerIdentity
from scheduler.control.tick import Scheduler
from tests.live.rows import join, requests, submit
from workers.admission import PolicyAdmission, claim


@pytest.fixture
def family(database: Any, toy: Any):
    join()
    return load_family(str(toy))


def claimed_by(family: Any, name: str) -> uuid.UUID | None:
    taken = claim(family, WorkerIdentity(name, uuid.uuid4()), ["exact"], PolicyAdmission(family, name, "cpu"))
    return taken.request.id if taken else None


def test_a_request_that_another_worker_is_just_taking_is_not_waited_for(family: Any) -> None:
    job = submit(3, state=State.QUEUED, level="exact", epoch=0)
    first, *others = sorted(requests(job), key=lambda row: (row.deadline_at, row.id))
    with transaction() as session:
        session.scalar(select(Request).where(Request.id == first.id).with_for_update())
        began = time.perf_counter()
        assert claimed_by(family, "cpu0@test") in [other.id for other in others]
        assert time.perf_counter() - began < 1.0


@pytest.mark.parametrize("planned", [False, True])
def test_workers_that_ask_at_the_same_time_get_a_request_each(family: Any, planned: bool) -> None:
    job = submit(8, state=State.QUEUED, level="exact", epoch=0)
    if planned:
        Scheduler(family).tick()
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda n: claimed_by(family, f"cpu{n}@test"), range(4)))
    assert None not in taken
    assert len(set(taken)) == 4
    assert {row.id for row in requests(job) if row.state == State.RUNNING} == set(taken)
