"""Messages reach the broker over connections that are kept open."""

from __future__ import annotations

import redis

from core.celery import publish
from core.messages import Route

QUEUE = "publishing-test"


def test_a_connection_that_died_since_it_was_last_used_is_replaced_within_the_call(services):
    with redis.Redis.from_url(services.broker_url) as broker:
        assert publish(QUEUE, [Route("first")]) == 1
        broker.client_kill_filter(_type="normal", skipme=True)
        assert publish(QUEUE, [Route("second"), Route("third")]) == 2
        assert broker.llen(QUEUE) == 3
        broker.delete(QUEUE)


def test_publishing_again_opens_no_further_connection(services):
    with redis.Redis.from_url(services.broker_url) as broker:
        publish(QUEUE, [Route("first")])
        before = broker.info("stats")["total_connections_received"]
        for _ in range(5):
            publish(QUEUE, [Route("again")])
        assert broker.info("stats")["total_connections_received"] == before
        broker.delete(QUEUE)
