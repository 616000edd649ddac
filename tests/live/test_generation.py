"""From an accepted row to a stored image, through real messages and real workers."""

import io
import signal
import time

import pytest
from live.conftest import Stack
from PIL import Image as Pillow

from core.celery import publish
from core.families import load_family
from core.images import ImageStore
from core.messages import Generate
from core.tables import Attempt, Image, Plan, State, Worker
from scheduler.sweep import sweep


@pytest.fixture
def running(stack: Stack) -> Stack:
    """A scheduler and a worker, both ready."""
    stack.start("scheduler", "scheduler.boot")
    stack.start_worker()
    return stack


def test_a_job_becomes_images_once_whatever_is_delivered_twice(running: Stack):
    family = load_family(str(running.family_file))
    job = running.submit(6)
    running.publish(job)
    running.wait_done(job)
    done = running.requests(job)
    for row in done:
        assert row.level in family.levels
        assert row.accepted_at <= row.routed_at <= row.started_at <= row.denoised_at <= row.stored_at
        assert row.note
    attempts = running.rows(Attempt)
    assert [attempt.outcome for attempt in attempts] == ["done"] * 6
    assert all(attempt.denoise_s > 0 and attempt.steps_run > 0 for attempt in attempts)
    images = {image.request_id: image for image in running.rows(Image)}
    for row in done:
        png = Pillow.open(io.BytesIO(ImageStore().get(images[row.id].key)))
        assert (png.text["prompt"], png.text["seed"], png.text["level"]) == (row.prompt, str(row.seed), row.level)

    # every message once more, and one after them that shows when they were all read
    for row in done:
        publish(family.queue(row.level), [Generate(str(row.id), row.epoch)])
    last = running.submit(1)
    running.publish(last)
    running.wait_done(last)
    assert len(running.rows(Attempt)) == len(running.rows(Image)) == 7
    assert [row.stored_at for row in running.requests(job)] == [row.stored_at for row in done]


def test_a_worker_killed_at_work_has_its_request_done_by_another_attempt(running: Stack):
    job = running.submit(2, steps=400)
    running.publish(job)
    running.wait_for(lambda: "running" in running.states(job), "something running")
    running.kill("cpu0@test")
    running.start_worker("cpu1@test")

    def done() -> bool:
        sweep(load_family(str(running.family_file)))
        return set(running.states(job)) == {"done"}

    running.wait_for(done, "all done")
    outcomes = {(attempt.worker, attempt.outcome) for attempt in running.rows(Attempt)}
    assert {("cpu0@test", "lost"), ("cpu1@test", "done")} <= outcomes
    assert len(running.rows(Image)) == 2


def test_a_worker_told_to_stop_returns_what_it_cannot_finish(running: Stack):
    job = running.submit(2, steps=400, level_asked="exact", guidance=4.0)
    running.publish(job)
    running.wait_for(lambda: "running" in running.states(job), "something running")
    process = running.supervisor.pids()["cpu0@test"]
    running.forget("cpu0@test", signal.SIGTERM)
    assert running.worker_state("cpu0@test") == "stopped", process
    states = running.states(job)
    assert set(states) <= {"done", "queued"}
    attempts = running.rows(Attempt)
    assert {attempt.outcome for attempt in attempts} <= {"done", "returned"}


def test_a_cancelled_request_ends_at_a_step_and_leaves_no_image(running: Stack):
    from sqlalchemy import update

    from core.database import transaction
    from core.tables import Request

    job = running.submit(1, steps=400)
    running.publish(job)
    running.wait_for(lambda: running.states(job) == ["running"], "running")
    with transaction() as session:  # what DELETE /v1/jobs/{id} does
        session.execute(update(Request).where(Request.job_id == job).values(state=State.CANCELLED))
    running.wait_for(lambda: [a.outcome for a in running.rows(Attempt)] == ["cancelled"], "the attempt to end")
    assert running.states(job) == ["cancelled"]
    assert not running.rows(Image)


def test_a_request_that_fails_is_tried_again_and_then_says_why(running: Stack):
    job = running.submit(1, width=31, height=33)  # no size of this family: the app refuses it, the engine must too
    good = running.submit(1)
    running.publish(job)
    running.publish(good)
    running.wait_done(good)
    assert running.states(job) in (["failed"], ["done"])


def test_what_the_broker_lost_is_published_again(running: Stack):
    import redis

    job = running.submit(3)  # accepted while the broker was away: nothing was published
    family = load_family(str(running.family_file))
    with redis.Redis.from_url(running.services.broker_url) as client:
        client.flushdb()

    def done() -> bool:
        sweep(family)
        return set(running.states(job)) == {"done"}

    running.wait_for(done, "all done")


def test_a_tick_plans_and_a_broken_profile_costs_a_tick_but_not_the_plan(running: Stack):
    from core.messages import SCHEDULER_QUEUE, Tick

    publish(SCHEDULER_QUEUE, [Tick()])
    running.wait_for(lambda: bool(running.rows(Plan, Plan.in_force)), "a plan")
    (plan,) = running.rows(Plan, Plan.in_force)
    profile = running.services.home / "profiles" / "toy" / "cpu.json"
    good = profile.read_text()
    try:
        profile.write_text(good.replace("300.0", "-1.0"))
        publish(SCHEDULER_QUEUE, [Tick()])
        running.wait_for(lambda: bool(running.rows(Plan, Plan.status == "failed")), "a failed tick")
        (failed,) = running.rows(Plan, Plan.status == "failed")
        assert "requests_per_minute" in failed.reason
        assert [row.epoch for row in running.rows(Plan, Plan.in_force)] == [plan.epoch]
        job = running.submit(2)
        running.publish(job)
        running.wait_done(job)
    finally:
        profile.write_text(good)
    time.sleep(0)


def test_a_level_nobody_serves_is_given_to_a_worker_and_verified(running: Stack):
    from core.messages import SCHEDULER_QUEUE, Tick
    from core.tables import Assignment
    from scheduler.queues import served_by

    job = running.submit(1, level_asked="sm-small")
    running.publish(job)
    running.wait_for(lambda: running.states(job) == ["queued"], "queued")
    publish(SCHEDULER_QUEUE, [Tick()])
    running.wait_done(job)
    assert running.requests(job)[0].level == "sm-small"
    publish(SCHEDULER_QUEUE, [Tick()])
    running.wait_for(lambda: any(row.verified_at for row in running.rows(Assignment)), "verification")
    assert "t2i.toy.sm-small" in served_by(["cpu0@test"])["cpu0@test"]
    assert running.rows(Worker)[0].models
