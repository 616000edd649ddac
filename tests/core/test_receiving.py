"""Messages of the version before, of this one and of a newer one, through the real broker and a real Celery worker."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import redis
from celery.contrib.testing.worker import start_worker

from core import celery
from core.celery import make_celery, publish
from core.messages import FORMAT_HEADER, Generate, Message
from core.receiving import NotReadable, read, receive
from core.transport import COUNT, UNREADABLE

QUEUE = "receiving-test"


@dataclass(frozen=True)
class Longer(Message):
    """`Generate` as a version to come may send it: with a field that nobody here knows."""

    task: ClassVar[str] = Generate.task
    request_id: str
    epoch: int
    colour: str


@dataclass(frozen=True)
class Newer(Message):
    """`Generate` as a version to come may send it: its fields mean something else."""

    task: ClassVar[str] = Generate.task
    format: ClassVar[int] = 2
    request_id: str
    epoch: int


@dataclass(frozen=True)
class Defaulted(Message):
    task: ClassVar[str] = "test.defaulted"
    request_id: str
    share: float = 0.5


def test_unknown_fields_are_passed_over_and_missing_ones_have_their_default():
    assert read(Generate, 1, {"request_id": "a", "epoch": 3, "colour": "red"}) == {"request_id": "a", "epoch": 3}
    assert Defaulted(**read(Defaulted, 1, {"request_id": "a"})).share == 0.5


@pytest.mark.parametrize(("number", "given"), [(2, {"request_id": "a", "epoch": 3}), (1, {"request_id": "a"})])
def test_a_newer_format_and_a_field_that_is_missing_are_not_readable(number: int, given: dict[str, Any]) -> None:
    with pytest.raises(NotReadable):
        read(Generate, number, given)


class Received:
    """A Celery worker in this process that receives `Generate`, as workers do."""

    def __init__(self) -> None:
        self.works: list[tuple[str, int]] = []
        self.came = threading.Condition()

    def work(self, request_id: str, epoch: int) -> None:
        self.works.append((request_id, epoch))

    def until(self, count: int) -> None:
        end = time.monotonic() + 30
        while len(self.works) < count and time.monotonic() < end:
            time.sleep(0.02)


@pytest.fixture
def received(services: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Received]:
    app, made = make_celery(), Received()
    monkeypatch.setattr(celery, "_app", app)
    receive(app, Generate, made.work)
    app.conf.task_default_queue = QUEUE
    with redis.Redis.from_url(services.broker_url) as broker:
        broker.delete(QUEUE, UNREADABLE, COUNT)
        with (
            _log_levels_kept(),
            start_worker(app, pool="solo", perform_ping_check=False, queues=[QUEUE], shutdown_timeout=30),
        ):
            yield made


@contextmanager
def _log_levels_kept() -> Iterator[None]:
    """Celery's test worker sets the root logger to ERROR and leaves it so: tests after it in this process saw no
    warning."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers


def test_a_newer_message_is_put_aside_and_the_consumer_goes_on(services: Any, received: Received) -> None:
    publish(QUEUE, [Generate("first", 1), Longer("second", 2, "red"), Newer("misread", 3), Generate("third", 4)])
    received.until(3)
    assert received.works == [("first", 1), ("second", 2), ("third", 4)]
    with redis.Redis.from_url(services.broker_url) as broker:
        assert int(broker.get(COUNT) or 0) == 1
        assert json.loads(broker.lindex(UNREADABLE, 0))["kwargs"] == {"request_id": "misread", "epoch": 3}


def test_a_message_of_the_version_before_which_names_no_format_is_read(services: Any, received: Received) -> None:
    celery.celery_app().send_task(Generate.task, kwargs={"request_id": "old", "epoch": 7}, queue=QUEUE)
    received.until(1)
    assert received.works == [("old", 7)]


def test_a_worker_of_the_version_before_reads_what_is_sent_now(services: Any) -> None:
    """Its tasks take exactly the fields of then; the format travels where they do not look."""
    publish(QUEUE, [Generate("now", 5)])
    with redis.Redis.from_url(services.broker_url) as broker:
        message = json.loads(broker.rpop(QUEUE))
    assert message["headers"][FORMAT_HEADER] == 1
    assert message["headers"]["task"] == "argus.generate"
    assert Generate("now", 5).kwargs() == {"request_id": "now", "epoch": 5}
