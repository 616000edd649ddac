"""What a tick observes, plans and keeps, on real rows and a real broker, without workers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from sqlalchemy import func, select

from core.database import transaction
from core.tables import Plan, ServiceClass
from scheduler.control.router import Router
from scheduler.control.tick import Scheduler
from scheduler.observation.calibration import Correction
from scheduler.observation.queries import EACH, timings
from scheduler.observation.snapshot import SnapshotReader
from tests.live.rows import join, requests, scored, submit, timed


def test_the_tick_tells_a_policy_that_reviews_all_what_recent_images_scored(family):
    join()
    scored(submit(5), "exact", 2.0)
    scored(submit(1, prompt="a hard one"), "exact", 1.0)
    scored(submit(1, prompt="a hard one"), "fs-4", 0.9)
    scored(submit(1), "fs-4", 1.0)
    situation = Scheduler(family, "diffserve").observe().situation
    assert situation is not None
    assert sorted(situation.scores["fs-4"]) == [pytest.approx(0.5), pytest.approx(0.9)]
    assert Scheduler(family, "argus").observe().situation.scores == {}


def test_a_policy_keeps_its_memory_while_profiles_are_corrected(family):
    join()
    reader = SnapshotReader(family, "proteus")
    with transaction() as session:
        workers = reader.snapshot(session, fresh=True).workers
        policy = reader.snapshot(session, fresh=True).policy
        assert reader.snapshot(session, fresh=True).policy is policy
    policy.ewma = 7.0
    corrected = reader.policy_for(workers, {"cpu": Correction({"large": 2.0})}, 9.0)
    assert corrected is not policy
    assert (corrected.ewma, corrected.cluster.slo_s) == (7.0, 9.0)


def test_the_planner_is_told_what_was_predicted_and_what_waits(family):
    join()
    submit(30)
    Router(family).route()
    situation = Scheduler(family).observe().situation
    assert situation is not None
    assert situation.sample.shape == (30, 3)
    assert np.allclose(situation.sample[:, 0], 1.0)
    assert sum(situation.queued.values()) == 30
    assert [(worker.device_type, worker.model) for worker in situation.workers] == [("cpu", "large")]


def test_every_plan_says_what_it_saw_and_why_and_one_is_in_force(family):
    join()
    scheduler = Scheduler(family)
    scheduler.tick()
    scheduler.tick()
    with transaction() as session:
        plans = list(session.scalars(select(Plan).order_by(Plan.epoch)))
        assert session.scalar(select(func.count()).where(Plan.in_force)) == 1
    assert plans[-1].in_force
    assert "requests/min expected" in plans[-1].reason
    assert plans[-1].observed["workers"] == {"cpu": 1}


def test_the_profile_is_corrected_by_what_a_requests_own_steps_took(family):
    join()
    timed("exact", "large", "cpu0@test", -60, -50, step_s=None)
    timed("exact", "large", "cpu0@test", -30, -20, step_s=0.5)
    timed("sm-small", "small", "cpu0@test", -25, -15, step_s=0.125)  # took turns with the one before
    with transaction() as session:
        found = timings(session, family, "cpu")
    assert [(timing.level, timing.share_s) for timing in found] == [("sm-small", 1.0), ("exact", 4.0)]


def test_of_a_fleet_each_worker_that_tells_tells_enough(family):
    fleet = [f"cpu{n}@test" for n in range(10)]
    for name in fleet:
        join(name)
        for n in range(EACH + 1):
            timed("exact", "large", name, -30 - 10 * n, -20 - 10 * n, step_s=0.5)
    with transaction() as session:
        told = Counter(timing.worker for timing in timings(session, family, "cpu"))
    assert told == dict.fromkeys(fleet, EACH)  # more than a tenth of what one alone would tell


def test_batch_work_goes_back_to_the_reference_level_once_somebody_serves_it(family):
    join(models=("small",))
    job = submit(2, service_class=ServiceClass.BATCH)
    scheduler = Scheduler(family)
    scheduler.tick()
    Router(family).route()
    assert {row.level for row in requests(job)} == {"sm-small"}
    join(models=("large",))
    scheduler.tick()
    assert {row.level for row in requests(job)} == {"exact"}
