"""Routing, sweeping and reviewing on real rows and a real broker, without workers."""

from __future__ import annotations

import io
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import redis
from PIL import Image as Pillow
from sqlalchemy import func, select, update

from core.database import transaction
from core.families import load_family
from core.requests import redraw
from core.settings import settings
from core.tables import Attempt, Image, Job, Plan, Request, Score, ServiceClass, State, Worker
from core.workers import WorkerIdentity
from scheduler.control.escalate import escalate
from scheduler.control.reconcile import reconcile
from scheduler.control.router import Router
from scheduler.control.tick import Scheduler
from scheduler.observation.calibration import Correction
from scheduler.observation.queries import timings
from scheduler.observation.snapshot import SnapshotReader
from workers.admission import PolicyAdmission, claim
from workers.scoring import worker as scoring


@pytest.fixture
def family(database: Any, toy: Any):
    return load_family(str(toy))


def submit(count: int = 1, **columns: Any) -> uuid.UUID:
    """Commit a job as the app does."""
    job = Job(id=uuid.uuid4(), family="toy", source="api", size=count)
    plain = {"family": "toy", "seed": 1, "width": 32, "height": 32, "steps": 8, "guidance": 2.0}
    plain["deadline_at"] = datetime.now(UTC) + timedelta(seconds=60)
    rows = [Request(position=i, **{"prompt": f"{i} foxes", **plain, **columns}) for i in range(count)]
    with transaction() as session:
        session.add(job)
        session.flush()
        for row in rows:
            row.job_id = job.id
        session.add_all(rows)
    return job.id


def requests(job: uuid.UUID) -> list[Request]:
    with transaction() as session:
        return list(session.scalars(select(Request).where(Request.job_id == job).order_by(Request.position)))


def join(name: str = "cpu0@test", models: tuple[str, ...] = ("large",), seen_ago_s: float = -3600.0) -> uuid.UUID:
    """A worker's row, as its heartbeat writes it; returns its boot."""
    family, boot = load_family_of_test(), uuid.uuid4()
    with transaction() as session:
        row = Worker(name=name, boot=boot, device="cpu:0", device_type="cpu", family="toy", state="ready", stats={})
        row.models, row.queues = list(models), family.queues_of(list(models))
        row.seen_at = datetime.now(UTC) - timedelta(seconds=seen_ago_s)
        session.merge(row)
    return boot


def load_family_of_test():
    return load_family(settings().family)


def depth(database: Any, level: str) -> int:
    with redis.Redis.from_url(database.broker_url) as client:
        return int(client.llen(f"t2i.toy.{level}"))


def test_without_workers_or_plan_the_reference_level_is_routed_to(family, database):
    job = submit(3)
    assert Router(family).route([job]) == 3
    assert {(row.level, row.state, row.epoch) for row in requests(job)} == {("exact", State.QUEUED, 0)}
    assert depth(database, "exact") == 3
    join()
    assert Scheduler(family).tick() is not None  # rows without predictions are no obstacle to planning


def test_thousands_are_routed_and_each_is_published_once(family, database):
    join()
    Scheduler(family).tick()
    job = submit(2_000)
    router = Router(family)
    assert router.route([job]) == 2_000
    assert router.route([job]) == 0
    rows = requests(job)
    assert all(row.state == State.QUEUED and row.published_at and row.qualities for row in rows)
    assert depth(database, "exact") + depth(database, "fs-4") == 2_000


def test_a_level_asked_for_and_a_floor_are_kept_whatever_the_load(family):
    join()
    submit(400)
    scheduler, router = Scheduler(family), Router(family)
    scheduler.tick()
    fixed, floored = submit(20, level_asked="sm-small"), submit(20, min_quality=0.95)
    router.route([fixed, floored])
    assert {row.level for row in requests(fixed)} == {"sm-small"}
    assert {row.level for row in requests(floored)} == {"exact"}


def test_what_waits_where_nobody_serves_any_more_is_routed_again(family):
    join(models=("large",))
    stranded = submit(2, state=State.QUEUED, level="sm-small", epoch=1)
    kept = submit(1, state=State.QUEUED, level="sm-small", epoch=1, level_asked="sm-small")
    reconcile(family)
    assert {row.state for row in requests(stranded)} == {State.ACCEPTED}
    Router(family).route([stranded])
    assert {row.level for row in requests(stranded)} == {"exact"}
    assert requests(kept)[0].state == State.QUEUED  # asked for by name: the tick finds it a worker


def attempt(job: uuid.UUID, boot: uuid.UUID, worker: str = "cpu0@test") -> None:
    """The job's requests are being worked at."""
    with transaction() as session:
        for row in session.scalars(select(Request).where(Request.job_id == job)):
            row.state, row.worker, row.attempts = State.RUNNING, worker, row.attempts + 1
            number = row.attempts
            session.add(
                Attempt(request_id=row.id, number=number, worker=worker, boot=boot, level="exact", model="large")
            )


def test_a_silent_workers_requests_are_tried_elsewhere_but_not_for_ever(family):
    boot = join(seen_ago_s=60.0)
    job = submit(1, state=State.QUEUED, level="exact", epoch=1)
    for _ in range(2):
        attempt(job, boot)
        reconcile(family)
        assert requests(job)[0].state == State.QUEUED
    attempt(job, boot)
    reconcile(family)
    (row,) = requests(job)
    assert (row.state, row.error_code) == (State.FAILED, "worker_lost")


def test_a_restarted_workers_requests_are_taken_back_though_its_heart_beats(family):
    join()
    job = submit(1, state=State.QUEUED, level="exact", epoch=1)
    attempt(job, boot=uuid.uuid4())
    reconcile(family)
    assert requests(job)[0].state == State.QUEUED


def test_a_deep_backlog_is_not_published_again(family, database):
    join()
    job = submit(200)
    Router(family).route([job])
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


def test_what_is_past_its_deadline_stays_set_aside_when_it_is_routed_again(family, database):
    join()
    late = submit(2, deadline_unreachable=True, deadline_at=datetime.now(UTC) - timedelta(seconds=5))
    early = submit(1, deadline_unreachable=True, deadline_at=datetime.now(UTC) + timedelta(minutes=5))
    Router(family).route([late, early])
    assert {row.deadline_unreachable for row in requests(late)} == {True}
    assert {row.deadline_unreachable for row in requests(early)} == {False}
    assert depth(database, "exact") + depth(database, "fs-4") == 1


def scored(job: uuid.UUID, level: str, value: float) -> None:
    """The job's requests have an image of this level, scored."""
    with transaction() as session:
        for row in session.scalars(select(Request).where(Request.job_id == job)):
            row.state, row.level, row.stored_at = State.DONE, level, datetime.now(UTC)
            tried = Attempt(
                id=uuid.uuid4(), request_id=row.id, number=1, worker="w", boot=uuid.uuid4(), level=level, model="large"
            )
            tried.outcome = "done"
            session.add(tried)
            session.flush()
            image = Image(id=uuid.uuid4(), request_id=row.id, attempt_id=tried.id, key="k", width=32, height=32)
            image.bytes, image.sha256, image.level, image.model, image.family_version = 1, "0", level, "large", "1"
            session.add(image)
            session.flush()
            session.add(Score(image_id=image.id, scorer="s", value=value))


def test_a_score_under_the_floor_is_drawn_again_at_a_better_level_once(family):
    join()
    Scheduler(family).tick()
    scored(submit(5), "exact", 2.0)  # what exact scores
    poor, good = submit(1, min_quality=0.85), submit(1, min_quality=0.85)
    scored(poor, "fs-4", 1.0)
    scored(good, "fs-4", 1.9)
    reader = SnapshotReader(family)
    assert escalate(reader, requests(good)[0].id) is None
    assert escalate(reader, requests(poor)[0].id) == "exact"
    (row,) = requests(poor)
    assert (row.state, row.level) == (State.QUEUED, "exact")
    assert "under the floor" in row.note
    scored_again = update(Request).where(Request.id == row.id).values(state=State.DONE)
    with transaction() as session:
        session.execute(scored_again)
        first = session.scalars(select(Image).where(Image.request_id == row.id)).one()
        second = Image(id=uuid.uuid4(), request_id=row.id, attempt_id=first.attempt_id, key="k2", width=32, height=32)
        second.bytes, second.sha256, second.level, second.model, second.family_version = 1, "0", "exact", "large", "1"
        session.add(second)
    assert escalate(reader, row.id) is None


def test_a_prompt_is_held_to_its_own_reference_score_where_that_is_known(family):
    join()
    Scheduler(family).tick()
    scored(submit(5), "exact", 2.0)
    scored(submit(1, prompt="a hard one"), "exact", 1.0)
    hard, plain = submit(1, prompt="a hard one", min_quality=0.85), submit(1, min_quality=0.85)
    scored(hard, "fs-4", 0.95)
    scored(plain, "fs-4", 0.95)
    reader = SnapshotReader(family)
    assert escalate(reader, requests(hard)[0].id) is None
    assert escalate(reader, requests(plain)[0].id) == "exact"


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
        policy = reader.snapshot(session, fresh=True).policy
        assert reader.snapshot(session, fresh=True).policy is policy
    policy.ewma = 7.0
    corrected = reader.policy_for(["cpu"], {"cpu": Correction({"large": 2.0})}, 9.0)
    assert corrected is not policy
    assert (corrected.ewma, corrected.cluster.slo_s) == (7.0, 9.0)


def test_a_redrawn_request_that_cannot_be_in_time_is_done_with_the_image_it_has(family):
    join()
    job = submit(1, deadline_at=datetime.now(UTC) + timedelta(seconds=0.01))
    scored(job, "fs-4", 1.0)
    (row,) = requests(job)
    redraw(row.id, "exact", "again")
    waits = submit(1, state=State.QUEUED, level="exact", epoch=0, deadline_at=datetime.now(UTC))
    Scheduler(family).tick()
    claim(family, WorkerIdentity("cpu0@test", uuid.uuid4()), ["exact"], PolicyAdmission(family, "cpu0@test", "cpu"))
    (row,) = requests(job)
    assert (row.state, row.level, row.deadline_unreachable) == (State.DONE, "fs-4", False)
    assert "the image stays" in row.note
    assert requests(waits)[0].deadline_unreachable


def test_the_planner_is_told_what_was_predicted_and_what_waits(family):
    join()
    job = submit(30)
    Router(family).route([job])
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


def timed(level: str, model: str, worker: str, started: float, ended: float) -> None:
    """A finished attempt, times in seconds from now."""
    job, now = submit(1, state=State.DONE, level=level), datetime.now(UTC)
    with transaction() as session:
        request = session.scalars(select(Request).where(Request.job_id == job)).one()
        row = Attempt(request_id=request.id, number=1, worker=worker, boot=uuid.uuid4(), level=level, model=model)
        row.outcome, row.denoise_s, row.steps_run, row.batch_mean = "done", ended - started, 8, 1.0
        row.started_at, row.ended_at = now + timedelta(seconds=started), now + timedelta(seconds=ended)
        session.add(row)


def test_only_what_ran_without_another_model_beside_it_corrects_the_profile(family):
    join()
    timed("exact", "large", "cpu0@test", -60, -50)
    timed("exact", "large", "cpu0@test", -30, -20)
    timed("sm-small", "small", "cpu0@test", -25, -15)
    with transaction() as session:
        (timing,) = timings(session, "cpu")
    assert (timing.level, timing.denoise_s) == ("exact", 10.0)


def test_batch_work_goes_back_to_the_reference_level_once_somebody_serves_it(family):
    join(models=("small",))
    job = submit(2, service_class=ServiceClass.BATCH)
    scheduler = Scheduler(family)
    scheduler.tick()
    Router(family).route([job])
    assert {row.level for row in requests(job)} == {"sm-small"}
    join(models=("large",))
    scheduler.tick()
    assert {row.level for row in requests(job)} == {"exact"}


class Pictures:
    """A store in which every image is a grey square."""

    def get(self, key: str) -> bytes:
        data = io.BytesIO()
        Pillow.new("RGB", (8, 8)).save(data, "PNG")
        return data.getvalue()


@pytest.mark.parametrize(("policy", "floor", "asked"), [("argus", None, 0), ("argus", 0.9, 1), ("diffserve", None, 1)])
def test_a_score_reaches_the_policy_when_there_is_a_floor_or_it_reviews_all(family, monkeypatch, policy, floor, asked):
    published: list[Any] = []
    monkeypatch.setattr(scoring, "publish", lambda queue, messages: published.extend(messages))
    monkeypatch.setenv("ARGUS_POLICY", policy)
    settings.cache_clear()
    try:
        scored(submit(1, min_quality=floor), "fs-4", 1.0)
        with transaction() as session:
            image = session.scalars(select(Image)).one()
        scorer = scoring.ImageScoring(SimpleNamespace(name="other", score=lambda *_: [1.0]), Pictures())
        scorer.score([image.id])
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert len(published) == asked
