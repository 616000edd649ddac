"""Messages that are none reach the queues of running processes."""

from __future__ import annotations

import pytest
import redis

from bench.chaos.faults.messages import MALFORMED
from core.families import load_family
from core.messages import ROUTER_QUEUE
from core.transport import COUNT, UNREADABLE
from tests.live.conftest import Stack


@pytest.mark.parametrize("queue", [ROUTER_QUEUE, "worker"])
def test_what_is_no_message_ends_no_process_and_costs_no_request(stack: Stack, queue: str) -> None:
    names = stack.supervisor.pids()
    broker = redis.Redis.from_url(stack.env["ARGUS_BROKER_URL"])
    name = queue if queue == ROUTER_QUEUE else load_family(str(stack.family_file)).queue("exact")
    before = int(broker.get(COUNT) or 0)
    for _ in range(5):
        for message in MALFORMED:
            broker.lpush(name, message)
    job = stack.submit(3, level_asked="exact")
    stack.publish(job)
    stack.wait_done(job)
    stack.wait_for(lambda: not broker.llen(name), "all taken")
    assert stack.supervisor.watch_once() == []
    assert stack.supervisor.pids() == names
    assert [attempt.outcome for attempt in stack.attempts(job)] == ["done"] * 3
    assert int(broker.get(COUNT)) >= before + 5 * 8
    assert 0 < broker.llen(UNREADABLE) <= 100
