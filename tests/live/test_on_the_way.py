"""What happens to a request while it runs: a worker's engine and PostgreSQL are real, its denoiser waits where told."""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any

import pytest

from core.database import transaction
from core.tables import Request, ServiceClass, State
from scheduler.policies import NAMES, Admission, policy_class
from tests.live.site import PATIENCE_S, FirstCome, Pace, Site
from workers.admission import first_come
from workers.assignment import Assigned


class Baseline(FirstCome):
    """A policy that does not move what runs."""

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        self.moves = False


def slowed_down(site: Site, **columns: Any) -> uuid.UUID:
    """A request whose deadline the full schedule misses from its fifth step on, and half of it meets."""
    request = site.submit(**columns)
    slot = site.begin(request)
    site.engine.costs.curves["large"] = Pace(1.5)
    site.finish(slot)
    return request


def test_a_running_request_that_would_be_late_goes_on_at_a_cheaper_level_and_its_record_says_so(site: Site):
    request = slowed_down(site)
    row, (attempt,) = site.row(request), site.attempts(request)
    assert (row.state, row.level) == (State.DONE, "fs-4")
    assert (attempt.outcome, attempt.level, attempt.model) == ("done", "fs-4", "large")
    assert "moved from exact to fs-4 with 35 steps left" in attempt.reason
    assert "to meet its deadline at 1.5 s a step" in attempt.reason
    assert attempt.reason in row.note
    assert 5 < attempt.steps_run < 40
    assert site.image(request).level == "fs-4"


@pytest.mark.parametrize(
    "columns",
    [
        {"level_asked": "exact"},
        {"min_quality": 0.95},
        {"min_quality": 0.8, "qualities": {"exact": 1.0, "fs-4": 0.7}},
    ],
    ids=["level asked for", "floor above the level's mean", "floor above what is predicted for the prompt"],
)
def test_a_running_request_with_a_fixed_level_or_a_floor_is_not_moved_though_late(site: Site, columns: dict[str, Any]):
    request = slowed_down(site, **columns)
    (attempt,) = site.attempts(request)
    assert (site.row(request).level, attempt.level, attempt.steps_run) == ("exact", "exact", 40)
    assert not attempt.reason


def test_under_a_policy_that_binds_at_admission_nothing_is_moved(site: Site):
    """The published baselines know no such thing; they are compared as they are."""
    assert [name for name in NAMES if policy_class(name).moves] == ["argus", "oracle"]
    site.generation.admission = site.generation.execution.admission = site.admission(Baseline)
    (attempt,) = site.attempts(slowed_down(site))
    assert (attempt.level, attempt.steps_run) == ("exact", 40)
    assert not attempt.reason


def test_a_floor_that_the_cheaper_level_keeps_lets_the_request_move(site: Site):
    request = slowed_down(site, min_quality=0.8, qualities={"exact": 1.0, "fs-4": 0.85})
    assert site.row(request).level == "fs-4"


def test_a_plan_that_offers_a_level_no_longer_moves_what_runs_at_it(site: Site):
    request = site.submit(seconds=600.0)
    slot = site.begin(request)
    site.follower.apply(Assigned.of(site.family, ["large"], ["t2i.toy.fs-4"]), None)
    site.finish(slot)
    row, (attempt,) = site.row(request), site.attempts(request)
    assert (row.level, attempt.level) == ("fs-4", "fs-4")
    assert "moved from exact to fs-4 with 35 steps left" in attempt.reason
    assert "as exact is no longer offered" in attempt.reason


@pytest.mark.parametrize("columns", [{"level_asked": "exact"}, {"service_class": ServiceClass.BATCH}])
def test_a_plan_moves_neither_a_level_asked_for_by_name_nor_batch_work(site: Site, columns: dict[str, Any]):
    request = site.submit(seconds=600.0, **columns)
    if "service_class" in columns:
        site.adapter.stops_at = 5
        site.generation.fill()
        assert site.adapter.reached.wait(PATIENCE_S)
        slot = threading.Thread(target=site.generation.wait_for_background)
        slot.start()
    else:
        slot = site.begin(request)
    site.follower.apply(Assigned.of(site.family, ["large"], ["t2i.toy.fs-4"]), None)
    site.finish(slot)
    (attempt,) = site.attempts(request)
    assert (site.row(request).level, attempt.steps_run) == ("exact", 40)


def test_a_request_whose_turn_comes_too_late_for_its_level_begins_at_a_cheaper_one(site: Site):
    site.engine.costs.curves["large"] = Pace(1.5)
    request = site.submit()
    slot = site.begin(request, 2)
    site.finish(slot)
    (attempt,) = site.attempts(request)
    assert (attempt.level, attempt.steps_run) == ("fs-4", 20)
    assert "fs-4 instead of exact to meet its deadline" in attempt.reason


def test_batch_work_that_gives_its_place_goes_on_where_it_stood(site: Site):
    batch = site.submit(seconds=86_400.0, service_class=ServiceClass.BATCH)
    site.adapter.stops_at = 7
    site.generation.fill()
    assert site.adapter.reached.wait(PATIENCE_S)
    urgent = site.submit(steps=3)
    slot = threading.Thread(target=site.generation.generate, args=(urgent, 0))
    slot.start()
    while not site.engine.find(str(batch)).preempting:
        time.sleep(0.01)
    site.finish(slot)
    while site.row(batch).state != State.DONE:
        site.generation.forget_preempted()
        site.generation.fill()
        time.sleep(0.05)
    first, second = site.attempts(batch)
    assert first.outcome == "returned"
    assert first.reason.endswith("It ran 7 steps; 33 are left.")
    assert (second.outcome, second.steps_run, second.reason) == ("done", 33, "resumed with 33 steps left")
    assert site.adapter.forwards == 40 + 3


def test_a_worker_whose_last_request_has_ended_begins_batch_work_at_once(site: Site):
    """Under load it is idle for less than the time between two looks of its housekeeping, which does not run here."""
    batch, urgent = site.submit(seconds=86_400.0, service_class=ServiceClass.BATCH), site.submit(steps=3)
    site.generation.generate(urgent, 0)
    site.generation.wait_for_background()
    assert [site.row(request).state for request in (urgent, batch)] == [State.DONE, State.DONE]


def test_where_a_request_stood_is_forgotten_when_another_worker_has_it(site: Site):
    batch = site.submit(seconds=86_400.0, service_class=ServiceClass.BATCH)
    site.adapter.stops_at = 7
    site.generation.fill()
    assert site.adapter.reached.wait(PATIENCE_S)
    site.generation.stopping.set()  # nothing new is begun: its state stays kept
    site.generation.claims.preempted.add(batch)
    site.engine.preempt(str(batch))
    site.adapter.go_on.set()
    site.generation.wait_for_background()
    site.generation.forget_preempted()
    assert site.engine.preempted() == [str(batch)]
    with transaction() as session:
        session.get_one(Request, batch).state = State.RUNNING
    site.generation.forget_preempted()
    assert not site.engine.preempted()


class OneAtATime(FirstCome):
    """Lets nobody beside what runs."""

    def __call__(self, waiting: Any, levels: Any, running: Any = ()) -> Any:
        return Admission() if running else first_come(waiting)


def test_who_was_not_let_beside_what_runs_starts_when_that_ends(site: Site):
    site.generation.admission = site.admission(OneAtATime)
    first, second = site.submit(steps=8), site.submit(steps=8)
    slot = site.begin(first)
    site.generation.generate(second, 0)  # its message is used up
    assert site.row(second).state == State.QUEUED
    site.finish(slot)
    assert {site.row(first).state, site.row(second).state} == {State.DONE}


def test_a_worker_that_is_done_starts_whom_another_did_not_let_beside_what_it_runs(site: Site):
    first, second = site.submit(steps=8), site.submit(steps=8)  # the message of the second is used up elsewhere
    site.generation.generate(first, 0)
    assert {site.row(first).state, site.row(second).state} == {State.DONE}
