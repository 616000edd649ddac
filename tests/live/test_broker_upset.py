"""Connections to the broker are reset, the broker sleeps and pauses: a real consumer goes on taking messages.

Celery's issues 8030, 10205 and 10302 tell of consumers that reconnect and take nothing more.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
import redis

from core.counters import counted
from core.services import valkey
from core.supervisor import Child, Supervisor
from tests.fuzz import fuzzing
from tests.live.counting_consumer import DEAF, QUEUE, TAKEN, TASK
from tests.live.malformed import malformed, real

TIMES = 10
FEW, MANY = 100, 1000
PATIENCE_S = 30.0

FAULTS: dict[str, Callable[[redis.Redis], object]] = {
    "connections killed": lambda broker: broker.execute_command("CLIENT KILL TYPE normal SKIPME yes"),
    "subscribers killed": lambda broker: broker.execute_command("CLIENT KILL TYPE pubsub"),
    "asleep": lambda broker: broker.execute_command("DEBUG SLEEP 0.7"),
    "paused": lambda broker: broker.execute_command("CLIENT PAUSE 700 ALL"),
}


class Upset:
    """A broker that may be harmed, and a consumer on it."""

    def __init__(self, url: str, supervisor: Supervisor) -> None:
        self.url, self.supervisor = url, supervisor
        self.numbers = count()

    def broker(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, socket_timeout=20)

    def publish(self, number: int) -> None:
        from core.celery import celery_app

        celery_app().send_task(TASK, kwargs={"number": number}, queue=QUEUE)

    def flows(self) -> None:
        """A message that is published now is taken."""
        number, end = next(self.numbers), time.monotonic() + PATIENCE_S
        with self.broker() as client:
            self.publish(number)
            while not client.sismember(TAKEN, number):
                assert time.monotonic() < end, self.supervisor.tail("consumer", 40)
                time.sleep(0.05)


@pytest.fixture(scope="module")
def upset(services: Any) -> Iterator[Upset]:
    from core import celery
    from core.settings import settings

    home = services.home / "upset"
    supervisor = Supervisor(home / "logs")
    child, url = valkey(home)
    child = replace(child, argv=[*child.argv, "--enable-debug-command", "local"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARGUS_BROKER_URL", url)
        patch.setattr(celery, "_app", None)
        settings.cache_clear()
        try:
            supervisor.start(child)
            env = {**services.environ(), "ARGUS_BROKER_URL": url}
            supervisor.start(Child("consumer", [sys.executable, "-m", "tests.live.counting_consumer"], env=env))
            made = Upset(url, supervisor)
            made.flows()
            yield made
        finally:
            supervisor.stop()
    settings.cache_clear()


@pytest.mark.parametrize("fault", FAULTS)
def test_messages_are_taken_after_each_of_ten_upsets(upset: Upset, fault: str) -> None:
    pids = upset.supervisor.pids()
    for _ in range(TIMES):
        with upset.broker() as client:
            FAULTS[fault](client)
        upset.flows()
    assert upset.supervisor.watch_once() == []
    assert upset.supervisor.pids() == pids


def test_messages_are_taken_after_a_sleep_longer_than_the_consumers_patience(upset: Upset) -> None:
    with upset.broker() as client:
        client.execute_command("DEBUG SLEEP 8")
    upset.flows()


def test_upsets_that_come_faster_than_a_consumer_reconnects_do_not_stall_it(upset: Upset) -> None:
    with upset.broker() as client:
        for _ in range(TIMES):
            client.execute_command("CLIENT KILL TYPE normal SKIPME yes")
            time.sleep(0.2)
    upset.flows()


@pytest.mark.timeout(1800)
def test_the_consumer_outlives_messages_that_are_nearly_some(upset: Upset) -> None:
    """A hundred in the suite, a thousand with the profile `fuzz`."""
    pids, message = upset.supervisor.pids(), real(QUEUE, TASK, {"number": -2})
    before = counted()["unreadable"]
    for seed in range(MANY if fuzzing() else FEW):
        with upset.broker() as client:
            client.lpush(QUEUE, malformed(seed, message))
        if seed % 20 == 0:
            upset.flows()
            assert upset.supervisor.watch_once() == [], f"ended between {seed - 20} and {seed}"
    upset.flows()
    assert upset.supervisor.pids() == pids
    assert counted()["unreadable"] > before


def test_a_consumer_that_takes_nothing_though_messages_wait_ends_and_the_next_takes_them(upset: Upset) -> None:
    with upset.broker() as client:
        client.set(DEAF, 1)
        os.kill(upset.supervisor.pids()["consumer"], signal.SIGKILL)
        restarted, end = 0, time.monotonic() + 2 * PATIENCE_S
        while client.exists(DEAF):
            restarted += len(upset.supervisor.watch_once())
            time.sleep(0.1)
        upset.publish(number := -1)
        while not client.sismember(TAKEN, number):
            assert time.monotonic() < end, upset.supervisor.tail("consumer", 40)
            restarted += len(upset.supervisor.watch_once())
            time.sleep(0.1)
    assert restarted == 2
    assert "no message was taken" in upset.supervisor.tail("consumer", 60)
    assert counted()["stalled"] == 1
