"""What happens to a request while it runs: a worker's engine and PostgreSQL are real, its denoiser waits where told."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from core.database import transaction
from core.families import load_family
from core.images import ImageStore
from core.step_curve import StepCurve
from core.tables import Attempt, Image, Job, Request, ServiceClass, State
from core.workers import WorkerIdentity
from scheduler.policies import NAMES, Admission, policy_class
from workers.admission import PolicyAdmission, first_come
from workers.assignment import Assigned, AssignmentFollower
from workers.engine.engine import Engine
from workers.generation import Generation
from workers.pipelines.embedded import Embedded

PATIENCE_S = 30.0
MEANS = {"exact": 1.0, "fs-4": 0.9, "sm-small": 0.8}


class Gated(Embedded):
    """The real adapter; its forward of that number waits until the test has looked."""

    stops_at = 0

    def load(self) -> Any:
        self.reached, self.go_on = threading.Event(), threading.Event()
        return super().load()

    def forward(self, *tensors: Any) -> Any:
        if self.forwards == self.stops_at:
            self.reached.set()
            self.go_on.wait(PATIENCE_S)
        return super().forward(*tensors)


class Pace(StepCurve):
    """A profile in force that says what a step takes, whatever was measured."""

    def __init__(self, step_s: float) -> None:
        super().__init__((1,), (step_s,))

    def observe(self, rows: int, seconds: float) -> StepCurve:
        return self


class FirstCome(PolicyAdmission):
    """The admission of a worker without a plan."""

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        self.moves = True

    def __call__(self, waiting: Any, levels: Any, running: Any = ()) -> Any:
        return first_come(waiting)


class Site:
    """One worker in this process, posted to the large model, and shorthands."""

    def __init__(self, family_file: Path) -> None:
        self.family = load_family(str(family_file))
        self.adapter: Gated
        self.start()

    def start(self, rows: int = 1) -> None:
        """A new worker, which takes so many requests at a time."""
        self.engine = Engine(self.family, max_batch=2, load=self._load, curves={"large": Pace(0.001)})
        self.engine.start()
        identity = WorkerIdentity("cpu0@way", uuid.uuid4())
        self.follower = AssignmentFollower(identity, self.family, self.engine)
        self.follower.apply(Assigned.of(self.family, ["large"]), None)
        admission = self.admission(FirstCome, rows)
        self.generation = Generation(identity, self.family, self.engine, self.follower, ImageStore(), admission, MEANS)
        self.follower.on_change = self.generation.follow_assignment

    def start_again(self, rows: int = 1) -> None:
        """The supervisor has started the worker's process anew."""
        self.generation.stop(0)
        self.start(rows)

    def admission(self, kind: type[FirstCome], rows: int = 1) -> FirstCome:
        return kind(self.family, "cpu0@way", "cpu", {"large": rows, "small": 1})

    def _load(self, model: Any) -> Gated:
        import torch

        self.adapter = Gated(model, "cpu", torch.float32)
        return self.adapter

    def submit(self, steps: int = 40, seconds: float = 40.0, **columns: Any) -> uuid.UUID:
        """A queued request, as the router leaves it."""
        request = Request(
            id=uuid.uuid4(),
            position=0,
            family="toy",
            prompt="a red fox",
            seed=1,
            width=32,
            height=32,
            guidance=2.0,
            steps=steps,
            deadline_at=datetime.now(UTC) + timedelta(seconds=seconds),
            **{"level": "exact", "state": State.QUEUED, **columns},
        )
        with transaction() as session:
            session.add(Job(family="toy", source="api", size=1, requests=[request]))
            session.flush()
            return request.id

    def begin(self, request: uuid.UUID, forwards: int = 5) -> threading.Thread:
        """Have the worker claim and run it; returns while its forward of that number waits."""
        self.adapter.stops_at = self.adapter.forwards + forwards
        self.adapter.reached.clear()
        self.adapter.go_on.clear()
        slot = threading.Thread(target=self.generation.generate, args=(request, 0))
        slot.start()
        assert self.adapter.reached.wait(PATIENCE_S)
        return slot

    def finish(self, slot: threading.Thread) -> None:
        self.adapter.go_on.set()
        slot.join(PATIENCE_S)
        assert not slot.is_alive()

    def row(self, request: uuid.UUID) -> Request:
        with transaction() as session:
            return session.get_one(Request, request)

    def attempts(self, request: uuid.UUID) -> list[Attempt]:
        with transaction() as session:
            mine = select(Attempt).where(Attempt.request_id == request).order_by(Attempt.number)
            return list(session.scalars(mine))

    def image(self, request: uuid.UUID) -> Image:
        with transaction() as session:
            return session.scalars(select(Image).where(Image.request_id == request)).one()


@pytest.fixture
def site(database: Any, toy: Path) -> Iterator[Site]:
    made = Site(toy)
    yield made
    made.adapter.go_on.set()
    made.generation.stop(0)


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
    site.generation.admission = site.admission(Baseline)
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
