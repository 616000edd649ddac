"""A worker that is full looks for who should go first: its engine and PostgreSQL are real."""

from __future__ import annotations

import threading
import time
import uuid
from math import inf
from typing import Any

import pytest

from core.tables import Request, State
from scheduler.policies.preemption import Due, gives_way
from tests.live.site import PATIENCE_S, FirstCome, Pace, Site
from workers.claims import Claims
from workers.giving_way import look


class BySlack(FirstCome):
    """Without a plan, with the rule by which a running request gives way; a step takes a second."""

    def gives_way(self, waiting: Any, running: Any) -> int | None:
        def due(row: Request, left: float = 1.0) -> Due:
            return Due(row.deadline_at.timestamp(), row.steps * left, row.steps * left)

        return gives_way([due(row) for row in waiting], [due(row, left) for row, left in running], time.time())


class Slowed(FirstCome):
    """Without a plan; background work slows those in front as the test says."""

    slow = True

    def slows(self, front: Any, behind: Any) -> bool:
        return self.slow and bool(front and behind)


def beside_a_long_one(site: Site, seconds: float) -> tuple[uuid.UUID, uuid.UUID, uuid.UUID]:
    """A request that runs with five of 40 steps done, one of three steps that is due, and one that has time: all run
    after one look."""
    site.generation.admission = site.admission(BySlack)
    site.generation.claims = site.generation.execution.claims = Claims(
        site.generation.admission.share, site.generation.admission.slows
    )
    site.engine.costs.curves["large"] = Pace(1.0)
    long = site.submit(seconds=600.0)
    slot = site.begin(long)
    patient, short = site.submit(steps=3, seconds=500.0), site.submit(steps=3, seconds=seconds)
    look(site.generation)
    look(site.generation)
    assert site.row(patient).state == State.QUEUED
    assert not site.generation.claims.has_room
    site.finish(slot)
    return long, short, patient


def test_a_running_request_with_slack_stands_still_for_one_that_would_be_late(site: Site):
    long, short, _ = beside_a_long_one(site, 30.0)  # at 1 s a step 35 s are left of the long one
    while site.row(short).state != State.DONE:
        time.sleep(0.05)
    (first,), (second,) = site.attempts(long), site.attempts(short)
    assert (first.outcome, first.steps_run) == ("done", 40)
    assert (second.outcome, second.steps_run) == ("done", 3)
    assert site.image(short).created_at < site.image(long).created_at
    assert not site.generation.claims.held


def test_nobody_stands_still_for_one_that_can_wait(site: Site):
    long, short, _ = beside_a_long_one(site, 60.0)
    assert {site.row(long).state, site.row(short).state} == {State.DONE}
    assert site.image(long).created_at < site.image(short).created_at


def test_a_worker_that_may_be_held_for_lost_starts_nobody_in_anybodys_place(site: Site):
    site.generation.admission = site.admission(BySlack)
    site.engine.costs.curves["large"] = Pace(1.0)
    long = site.submit(seconds=600.0)
    slot = site.begin(long)
    site.generation.claims.renew(-inf)  # long ago
    short = site.submit(steps=3, seconds=30.0)
    look(site.generation)
    assert site.row(short).state == State.QUEUED
    site.generation.claims.renew(time.monotonic())
    look(site.generation)
    assert site.row(short).state == State.RUNNING
    site.finish(slot)


@pytest.mark.parametrize(("slow", "outcomes"), [(True, ["returned", "done"]), (False, ["done"])])
def test_background_work_stands_aside_at_the_next_step_where_it_slows_who_starts(
    site: Site, monkeypatch: pytest.MonkeyPatch, slow: bool, outcomes: list[str]
):
    monkeypatch.setattr(Slowed, "slow", slow)
    admission = site.generation.admission = site.admission(Slowed, rows=2)
    site.generation.claims = site.generation.execution.claims = Claims(admission.share, admission.slows)
    behind = site.submit(deadline_unreachable=True)
    site.wait_at(5)
    site.generation.fill()
    assert site.adapter.reached.wait(PATIENCE_S)
    front = site.submit(steps=3)
    slot = threading.Thread(target=site.generation.generate, args=(front, 0))
    slot.start()
    while site.row(front).state != State.RUNNING:
        time.sleep(0.05)
    site.finish(slot)
    while site.row(behind).state != State.DONE:
        time.sleep(0.05)
    assert [attempt.outcome for attempt in site.attempts(behind)] == outcomes
