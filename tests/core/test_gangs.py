"""Who is asked to join a gang, and what answers do, on real rows."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core import gangs
from core.attempts import RETURNED
from core.database import transaction
from core.families import Family, load_family
from core.requests import Claim, release
from core.tables import Attempt, Job, Request, State, Worker

LEADER = "cpu0@here"


@pytest.fixture
def family(database: Any) -> Family:
    return load_family("embedded")


def worker(name: str, **columns: Any) -> None:
    usual = {"device": "cpu:0", "device_type": "cpu", "family": "embedded", "state": "ready", "models": ["large"]}
    with transaction() as session:
        session.add(Worker(name=name, boot=uuid.uuid4(), queues=[], stats={}, **{**usual, **columns}))


def claimed(by: str = LEADER) -> Claim:
    """A request that this worker is at."""
    shape = {"width": 64, "height": 64, "steps": 12, "guidance": 2.0, "seed": 1}
    asked = {"family": "embedded", "prompt": "a fox", "level": "exact", "parallel": "asyncdiff", "position": 0}
    request = Request(deadline_at=datetime.now(UTC), state=State.RUNNING, worker=by, attempts=1, **shape, **asked)
    attempt = Attempt(id=uuid.uuid4(), number=1, worker=by, boot=uuid.uuid4(), level="exact", model="large")
    request.tries = [attempt]
    with transaction() as session:
        session.add(Job(family="embedded", source="api", size=1, requests=[request]))
        session.flush()
        return Claim(request, attempt.id, 1)


def test_those_are_asked_who_hold_the_model_on_the_same_host_and_draw_nothing(family: Family):
    worker(LEADER)
    worker("cpu1@here")
    worker("cpu2@here", models=["turbo", "large"])
    worker("cpu3@here", models=["turbo"])
    worker("cpu4@here", state="starting")
    worker("cpu5@here", seen_at=datetime.now(UTC) - timedelta(hours=1))
    worker("cpu6@here", family="sdxl")
    worker("cuda0@here", device_type="h100")
    worker("cpu1@there")
    worker("cpu7@here")
    claimed("cpu7@here")
    assert gangs.idle_workers(family, LEADER, "large") == ["cpu1@here", "cpu2@here"]


def test_answers_are_kept_in_their_order_until_the_gang_is_closed(family: Family):
    claim = claimed()
    gangs.ask(claim, family, LEADER, "asyncdiff", ["a@here", "b@here", "c@here"])
    assert gangs.answer(claim.attempt, "b@here", willing=True)
    assert gangs.answer(claim.attempt, "a@here", willing=True)
    gangs.close(claim.attempt, ["b@here"], "127.0.0.1:5")
    assert not gangs.answer(claim.attempt, "c@here", willing=True)
    gang = gangs.read(claim.attempt)
    assert gang is not None
    assert (gang.willing, gang.members, gang.address) == (["b@here", "a@here"], ["b@here"], "127.0.0.1:5")


def test_a_gang_is_over_with_the_attempt_of_its_leader(family: Family):
    claim = claimed()
    found = gangs.claim_of(claim.attempt)
    assert found is not None
    assert (found.request.id, found.number) == (claim.request.id, 1)
    release([claim.attempt], RETURNED, "the worker stopped", "cancelled")
    assert gangs.claim_of(claim.attempt) is None
    assert gangs.anybody_waits(family)
    assert gangs.claim_of(uuid.uuid4()) is None
    assert not gangs.answer(uuid.uuid4(), "a@here", willing=True)
