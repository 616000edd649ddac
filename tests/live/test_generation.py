"""From an accepted row to a stored image, through real messages and real workers, whatever goes wrong on the way."""

import io
import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image as Pillow
from sqlalchemy import update

from cli.replay import replay
from core.celery import publish
from core.database import transaction
from core.families import load_family
from core.images import ImageStore
from core.messages import QUALITY_QUEUE, ROUTER_QUEUE, Generate, Route, ScoreImage
from core.queues import served_by
from core.tables import Assignment, Attempt, Image, Plan, Request, Score, ServiceClass, State
from scheduler.control.reconcile import reconcile
from scheduler.observation.snapshot import FRESH_S
from tests.live.conftest import Stack

LONG = {"steps": 400, "level_asked": "exact"}


def test_a_job_becomes_images_once_whatever_is_delivered_twice(stack: Stack):
    family = load_family(str(stack.family_file))
    job = stack.submit(6)
    stack.publish(job)
    stack.wait_done(job)
    done = stack.requests(job)
    for row in done:
        assert row.level in family.levels
        assert row.accepted_at <= row.routed_at <= row.started_at <= row.denoised_at <= row.stored_at
        assert row.note
    attempts = stack.attempts(job)
    assert [attempt.outcome for attempt in attempts] == ["done"] * 6
    assert all(attempt.denoise_s > 0 and attempt.steps_run > 0 for attempt in attempts)
    images = {image.request_id: image for image in stack.images(job)}
    for row in done:
        png = Pillow.open(io.BytesIO(ImageStore().get(images[row.id].key)))
        assert (png.text["prompt"], png.text["seed"], png.text["level"]) == (row.prompt, str(row.seed), row.level)

    # every message once more, and one after them that shows when they were all read
    before = len(stack.rows(Attempt)), len(stack.rows(Image))
    for row in done:
        publish(family.queue(row.level), [Generate(str(row.id), row.epoch)])
    last = stack.submit(1)
    stack.publish(last)
    stack.wait_done(last)
    assert (len(stack.rows(Attempt)), len(stack.rows(Image))) == (before[0] + 1, before[1] + 1)
    assert [row.stored_at for row in stack.requests(job)] == [row.stored_at for row in done]


def test_an_image_is_scored_once_whatever_is_delivered_twice(stack: Stack):
    job = stack.submit(2)
    stack.publish(job)
    stack.wait_for(lambda: all(row.scored_at for row in stack.requests(job)), "scores")
    images = [image.id for image in stack.images(job)]
    publish(QUALITY_QUEUE, [ScoreImage(str(image)) for image in images])
    last = stack.submit(1)
    stack.publish(last)
    stack.wait_for(lambda: all(row.scored_at for row in stack.requests(last)), "a score after them")
    scores = stack.rows(Score, Score.image_id.in_(images))
    assert len(scores) == 2
    assert all(0 <= score.value <= 2.5 for score in scores)
    assert scores[0].scorer.startswith("embedded-clip")


def test_what_was_accepted_while_the_broker_was_away_is_published_when_it_is_back(stack: Stack):
    stack.kill("valkey")
    unrouted = stack.submit(2)
    assert publish(ROUTER_QUEUE, [Route(str(unrouted))]) == 0
    routed = stack.submit(2, state=State.QUEUED, level="exact", epoch=0)  # a router got no further than its commit
    stack.wait_for(lambda: "valkey" in stack.supervisor.watch_once(), "the broker to be started again")
    stack.sweep_until_done(unrouted)
    stack.sweep_until_done(routed)


def test_a_replay_is_told_what_became_of_each_arrival(stack: Stack, tmp_path: Path):
    trace, references, out = tmp_path / "trace.csv", tmp_path / "references.csv", tmp_path / "out.json"
    trace.write_text("arrival_s,prompt\n0.0,a red fox\n0.3,two blue fish\n0.4,a green tree\n1.5,a red fox\n")
    with serving() as url:
        told = CliRunner().invoke(
            replay, ["--trace", str(trace), "--url", url, "--references", str(references), "--json", str(out)]
        )
    assert told.exit_code == 0, told.output
    ((_, figures),) = json.loads(out.read_text())["policies"].items()
    assert (figures["requests"], figures["served"], figures["refused"]) == (4, 4, 0)
    assert figures["violation_rate"] == figures["violations"] / 4
    assert sum(figures["levels"].values()) == pytest.approx(1.0)
    assert figures["latency_p50_s"] <= figures["latency_p95_s"] <= figures["latency_p99_s"]
    assert figures["quality_is"] == "measured"
    assert len(references.read_text().splitlines()) == 5


@contextmanager
def serving() -> Iterator[str]:
    """The web app on a port of its own."""
    from werkzeug.serving import make_server

    from app import create_app

    server = make_server("127.0.0.1", 0, create_app(), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def test_a_cancelled_request_ends_at_a_step_and_leaves_no_image(stack: Stack):
    job = stack.submit(1, **LONG)
    stack.publish(job)
    stack.wait_for(lambda: stack.states(job) == ["running"], "running")
    with transaction() as session:  # what DELETE /v1/jobs/{id} does
        session.execute(update(Request).where(Request.job_id == job).values(state=State.CANCELLED))
    stack.wait_for(lambda: [a.outcome for a in stack.attempts(job)] == ["cancelled"], "the attempt to end")
    assert stack.states(job) == ["cancelled"]
    assert not stack.images(job)


def test_batch_work_gives_its_place_to_a_request_with_a_target(stack: Stack):
    batch = stack.submit(10, service_class=ServiceClass.BATCH, **LONG)
    stack.publish(batch)
    stack.wait_for(lambda: stack.states(batch).count("running") == 8, "a worker full of batch work")
    urgent = stack.submit(1)
    stack.publish(urgent)
    stack.wait_done(urgent)
    assert "returned" in {attempt.outcome for attempt in stack.attempts(batch)}
    assert not set(stack.states(batch)) & {"failed", "cancelled"}
    stack.drop(batch)


def test_what_cannot_be_in_time_is_told_so_and_served_last(stack: Stack):
    stack.tick(lambda: bool(stack.rows(Plan, Plan.in_force)), "a plan")
    time.sleep(1.5 * FRESH_S)  # a worker's snapshot may be so old: without a plan it sets nothing aside
    late = stack.submit(1, seconds=-5.0)
    stack.publish(late)
    stack.wait_done(late)
    (row,) = stack.requests(late)
    assert row.deadline_unreachable
    assert "not all that waited could be in time" in row.note


def test_a_tick_that_fails_is_recorded_and_the_plan_in_force_stays(stack: Stack):
    stack.tick(lambda: bool(stack.rows(Plan, Plan.in_force)), "a plan")
    profile = stack.services.home / "profiles" / "toy" / "cpu.json"
    good = profile.read_text()
    try:
        profile.write_text(good.replace("300.0", "-1.0"))
        stack.tick(lambda: bool(stack.rows(Plan, Plan.status == "failed")), "a failed tick")
        failed = stack.rows(Plan, Plan.status == "failed")[0]
        assert "requests_per_minute" in failed.reason
        (plan,) = stack.rows(Plan, Plan.in_force)
        assert plan.epoch < failed.epoch
        job = stack.submit(2)
        stack.publish(job)
        stack.wait_done(job)
    finally:
        profile.write_text(good)


def test_a_level_nobody_serves_is_given_to_a_worker_and_verified(stack: Stack):
    job = stack.submit(1, level_asked="sm-small")
    stack.publish(job)
    stack.wait_for(lambda: stack.states(job) == ["queued"], "queued")
    stack.tick(lambda: stack.states(job) == ["done"], "the level to be served")
    assert stack.requests(job)[0].level == "sm-small"
    stack.tick(lambda: any(row.verified_at for row in stack.rows(Assignment)), "verification")
    assert "t2i.toy.sm-small" in served_by(["cpu0@test"])["cpu0@test"]


def test_a_worker_killed_at_work_has_its_request_done_by_another_attempt(stack: Stack):
    job = stack.submit(2, **LONG)
    stack.publish(job)
    stack.wait_for(lambda: "running" in stack.states(job), "something running")
    stack.kill("cpu0@test")

    def done() -> bool:
        stack.supervisor.watch_once()
        reconcile(load_family(str(stack.family_file)))
        return set(stack.states(job)) == {"done"}

    stack.wait_for(done, "all done")
    assert [a.outcome for a in stack.attempts(job)][-1] == "done"
    assert "lost" in {attempt.outcome for attempt in stack.attempts(job)}
    assert len(stack.images(job)) == 2


def test_a_worker_told_to_stop_finishes_or_returns_what_it_has(stack: Stack):
    job = stack.submit(2, **{**LONG, "steps": 100_000})
    stack.publish(job)
    stack.wait_for(lambda: "running" in stack.states(job), "something running")
    stack.end("cpu0@test", signal.SIGTERM)
    assert stack.worker_state("cpu0@test") == "stopped"
    assert set(stack.states(job)) == {"queued"}
    assert {attempt.outcome for attempt in stack.attempts(job)} == {"returned"}
