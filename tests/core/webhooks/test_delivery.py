"""Events are written with what happened, told until they are taken, and nobody holds up anybody else."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text, update
from standardwebhooks import Webhook

from core import requests
from core.database import transaction
from core.requests import Choice
from core.tables import Image, Job, Request, State
from core.webhook_tables import WebhookDelivery, WebhookEndpoint, WebhookEvent, WebhookHost
from core.webhooks import outbox
from core.webhooks.addresses import target_of
from core.webhooks.delivery import Deliverer
from core.workers import WorkerIdentity
from tests.app.conftest import configured
from tests.core.webhooks.receivers import Receiver, nobody, receiving, until

WORKER = WorkerIdentity("cpu0@test", uuid.uuid4())
SECRET = "whsec_" + "QUFB" * 8
ALL = ["job.done", "request.done", "request.failed"]


@pytest.fixture(autouse=True)
def allowed(database: Any) -> Iterator[None]:
    with configured(ARGUS_WEBHOOK_PRIVATE="127.0.0.0/8"):
        with transaction() as session:
            session.add(WebhookEndpoint(tenant="default", events=["job.done"], secret=SECRET))
        yield


def job_of(url: str | None, size: int = 1, events: list[str] = ALL) -> list[uuid.UUID]:
    """A job that tells an address; its requests, accepted."""
    now = datetime.now(UTC)
    hook = {"url": url, "host": target_of(url).host, "events": events} if url else None
    job = Job(id=uuid.uuid4(), family="toy", source="api", size=size, created_at=now, webhook=hook)
    shared = {"prompt": "a fox", "seed": 2**60, "width": 32, "height": 32, "steps": 8, "guidance": 2.0}
    rows = [{"id": uuid.uuid4(), "position": position, **shared} for position in range(size)]
    with transaction() as session:
        session.add(job)
        session.flush()
        requests.new_requests(session, job, rows, now + timedelta(seconds=60))
    return [row["id"] for row in rows]


def finish(request_id: uuid.UUID) -> None:
    """It is drawn."""
    with transaction() as session:
        row = session.get_one(Request, request_id)
    requests.route([Choice(row, "exact", "test")], 1)
    claim = requests.claim(request_id, WORKER, {"exact": "large"}, ["exact"])
    assert claim
    about = {"key": "k.png", "width": 32, "height": 32, "bytes": 1, "sha256": "0" * 64}
    used = {"level": "exact", "model": "large", "family_version": "1"}
    image = Image(id=uuid.uuid4(), request_id=request_id, attempt_id=claim.attempt, **about, **used)
    assert requests.finish(claim, image, {}, 0.0)


def events(*which: Any) -> list[WebhookEvent]:
    with transaction() as session:
        return list(session.scalars(select(WebhookEvent).where(*which).order_by(WebhookEvent.created_at)))


def turn(deliverer: Deliverer) -> None:
    """One turn, and everything that it started."""
    deliverer.turn()
    until(deliverer.idle)


def told(receiver: Receiver) -> list[dict[str, Any]]:
    """What a receiver was told, once it has verified who says so."""
    return [Webhook(SECRET).verify(body, headers) for headers, body in receiver.heard]


def make_due() -> None:
    """Everything that waits is to be told now."""
    with transaction() as session:
        session.execute(update(WebhookEvent).values(next_at=func.now()))
        session.execute(update(WebhookHost).values(resume_at=func.now()))


def test_what_becomes_of_a_job_is_told_signed_and_once() -> None:
    with receiving() as receiver:
        first, second = job_of(receiver.url, size=2)
        finish(first)
        deliverer = Deliverer()
        turn(deliverer)
        assert [each["type"] for each in told(receiver)] == ["request.done"]
        with transaction() as session:
            session.execute(
                update(Request).where(Request.id == second).values(state=State.FAILED, error_code="x", error="y")
            )
        for _ in range(3):
            turn(deliverer)
    found = {each["type"]: each["data"] for each in told(receiver)}
    assert len(receiver.heard) == 3
    assert found["request.done"]["request_id"] == str(first)
    assert found["request.done"]["seed"] == str(2**60)
    assert found["request.done"]["image"].startswith("/v1/images/")
    assert found["request.failed"]["error"] == {"code": "x", "message": "y"}
    assert found["job.done"] | {"counts": None} == found["job.done"] | {"counts": None, "state": "done", "size": 2}
    assert found["job.done"]["counts"] == {"done": 1, "failed": 1}
    assert {event.state for event in events()} == {"delivered"}


def test_events_are_written_in_the_transaction_that_ends_a_request_and_go_with_it() -> None:
    (request,) = job_of("http://127.0.0.1:9/")
    with transaction() as session:
        session.execute(update(Request).where(Request.id == request).values(state=State.FAILED))
        assert session.scalar(select(func.count()).select_from(WebhookEvent)) == 1
        session.rollback()
    assert events() == []


def test_jobs_that_tell_nobody_and_events_that_nobody_asked_for_write_nothing() -> None:
    for url, wanted in ((None, ALL), ("http://127.0.0.1:9/", ["request.failed"])):
        (request,) = job_of(url, events=wanted)
        finish(request)
    assert outbox.note_jobs_done() == 0
    assert events() == []


def test_two_requests_that_end_at_the_same_time_make_one_end_of_their_job() -> None:
    first, second = job_of("http://127.0.0.1:9/", size=2, events=["job.done"])
    with transaction() as one, transaction() as other:
        one.execute(update(Request).where(Request.id == first).values(state=State.DONE))
        other.execute(update(Request).where(Request.id == second).values(state=State.DONE))
        outbox.note_jobs_done()
        assert events() == []
    assert [outbox.note_jobs_done() for _ in range(2)] == [1, 0]


def test_what_fails_is_told_again_with_the_same_id_and_bytes_for_a_day_and_then_given_up() -> None:
    with receiving(status=500, text="oops") as receiver:
        (request,) = job_of(receiver.url, events=["request.done"])
        finish(request)
        deliverer = Deliverer()
        waits = []
        for _ in range(len(outbox.DELAYS_S) + 1):
            make_due()
            turn(deliverer)
            (event,) = events()
            with transaction() as session:
                now = session.execute(select(func.now())).scalar_one()
            waits.append((event.next_at - now).total_seconds())
        make_due()
        turn(deliverer)
    assert (event.state, event.attempts, len(receiver.heard)) == ("failed", 9, 9)
    assert len({(headers["webhook-id"], body) for headers, body in receiver.heard}) == 1
    for wait, delay in zip(waits, outbox.DELAYS_S, strict=False):
        assert 0.8 * delay - 60 <= wait <= 1.2 * delay
    assert 20 < sum(outbox.DELAYS_S) / 3600 < 28
    with transaction() as session:
        tries = session.scalars(select(WebhookDelivery)).all()
    assert {(each.status, each.answer) for each in tries} == {(500, "oops")}


def test_a_dead_a_slow_a_failing_and_a_private_host_hold_up_no_other() -> None:
    with (
        receiving() as good,
        receiving(wait_s=100.0) as slow,
        receiving(status=500) as failing,
        receiving(status=302, location="http://10.0.0.1/") as redirecting,
    ):
        bad = [slow.url, failing.url, redirecting.url, nobody(), "http://10.0.0.1/"]
        with configured(ARGUS_WEBHOOK_PRIVATE="127.0.0.0/8,10.0.0.0/8"):
            wanted = [job_of(url, events=["request.done"])[0] for url in bad for _ in range(3)]
        wanted += [job_of(good.url, events=["request.done"])[0] for _ in range(10)]
        for request in wanted:
            finish(request)
        deliverer, began = Deliverer(whole_s=3.0), time.monotonic()
        deliverer.turn()
        until(lambda: len(good.heard) == 10)
        print(f"told the good one in {time.monotonic() - began:.2f} s")
        until(deliverer.idle)
    assert len(told(good)) == 10
    with transaction() as session:
        errors = set(session.scalars(select(WebhookDelivery.error).where(WebhookDelivery.status.is_(None))))
    assert any("no answer within" in str(error) for error in errors)
    assert any("no address of the internet" in str(error) for error in errors)
    assert any("refused" in str(error) for error in errors)
    assert {event.state for event in events(WebhookEvent.host != target_of(good.url).host)} == {"waiting"}


def test_a_host_that_fails_again_and_again_is_left_alone_until_it_may_be_there_again() -> None:
    dead = nobody()
    for _ in range(6):
        finish(job_of(dead, events=["request.done"])[0])
    deliverer = Deliverer()
    for _ in range(10):
        turn(deliverer)
    assert sum(event.attempts for event in events()) == outbox.ASIDE_AFTER
    with transaction() as session:
        host = session.scalars(select(WebhookHost)).one()
        assert host.failures == outbox.ASIDE_AFTER
        before = host.resume_at
        session.execute(update(WebhookHost).values(resume_at=func.now()))
    turn(deliverer)
    with transaction() as session:
        again = session.scalars(select(WebhookHost)).one()
    assert again.resume_at - before > timedelta(seconds=30)


def test_a_host_that_is_there_again_is_told_all() -> None:
    with receiving(status=503) as receiver:
        for _ in range(4):
            finish(job_of(receiver.url, events=["request.done"])[0])
        deliverer = Deliverer()
        for _ in range(4):
            turn(deliverer)
        receiver.status = 200
        make_due()
        turn(deliverer)
    assert {event.state for event in events()} == {"delivered"}
    with transaction() as session:
        assert session.scalar(select(WebhookHost)) is None


def test_an_address_that_is_gone_is_told_nothing_more() -> None:
    with receiving(status=410) as receiver:
        for _ in range(3):
            finish(job_of(receiver.url, events=["request.done"])[0])
        with transaction() as session:
            session.execute(update(WebhookEndpoint).values(url=receiver.url, host="h"))
        turn(Deliverer())
    assert len(receiver.heard) == 1
    assert {event.state for event in events()} == {"gone"}
    with transaction() as session:
        assert session.get_one(WebhookEndpoint, "default").gone_at is not None


def test_what_was_claimed_by_a_process_that_ended_is_told_later() -> None:
    with receiving() as receiver:
        finish(job_of(receiver.url, events=["request.done"])[0])
        (host,) = outbox.due_hosts()
        assert outbox.claim(host)
        assert outbox.claim(host) is None
        make_due()
        turn(Deliverer())
        assert len(receiver.heard) == 1


def test_after_a_rotation_both_secrets_sign_for_a_day() -> None:
    with transaction() as session:
        rotated = {"secret": "whsec_" + "QkJC" * 8, "secret_before": SECRET}
        rotated |= {"secret_before_until": func.now() + timedelta(days=1)}
        session.execute(update(WebhookEndpoint).values(rotated))
    with receiving() as receiver:
        finish(job_of(receiver.url, events=["request.done"])[0])
        turn(Deliverer())
        assert [each["type"] for each in told(receiver)] == ["request.done"]
        ((headers, body),) = receiver.heard
        Webhook("whsec_" + "QkJC" * 8).verify(body, headers)
    with transaction() as session:
        session.execute(update(WebhookEndpoint).values(secret_before_until=func.now()))
        assert outbox.secrets_of(session, "default") == ["whsec_" + "QkJC" * 8]


def test_replayed_it_is_told_with_the_same_id_and_bytes_though_the_job_is_gone() -> None:
    with receiving() as receiver:
        finish(job_of(receiver.url, events=["request.done"])[0])
        turn(Deliverer())
        with transaction() as session:
            session.execute(text("DELETE FROM job"))
            assert outbox.replay(session, WebhookEvent.state == "delivered") == 1
        turn(Deliverer())
    first, again = receiver.heard
    assert (first[0]["webhook-id"], first[1]) == (again[0]["webhook-id"], again[1])
    assert json.loads(again[1])["type"] == "request.done"
