"""Jobs that are accepted close together are told of together, and none is told of too early."""

from __future__ import annotations

import json
import time
import uuid
from base64 import b64decode

import pytest
import redis

from app import bell
from core.messages import ROUTER_QUEUE
from tests.app.test_waiting import until
from tests.conftest import Services


def told(database: Services) -> list[str]:
    """The jobs that messages to the router name, the first that was sent at the beginning."""
    with redis.Redis.from_url(database.broker_url) as broker:
        messages = [json.loads(each) for each in broker.lrange(ROUTER_QUEUE, 0, -1)[::-1]]
    return [json.loads(b64decode(each["body"]))[1]["job_id"] for each in messages]


def test_the_first_is_told_of_at_once_and_those_after_it_by_one_message(
    database: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "QUIET_S", 0.5)
    own, jobs = bell.Bell(), [uuid.uuid4() for _ in range(20)]
    began = time.monotonic()
    assert all(own.ring(job) for job in jobs)
    if time.monotonic() < began + 0.5:  # else this machine was too slow for them to come close together
        assert told(database) == [str(jobs[0])]
    until(lambda: len(told(database)) > 1)
    last = uuid.uuid4()
    own.ring(last)
    until(lambda: str(last) in told(database))
    assert len(told(database)) == 3


def test_while_the_broker_is_away_each_is_said_not_to_be_published(
    broker_away: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "QUIET_S", 60.0)
    own = bell.Bell()
    assert [own.ring(uuid.uuid4()) for _ in range(2)] == [False, False]
