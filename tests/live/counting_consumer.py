"""A process that consumes one queue as Argus does, and remembers what it took."""

from __future__ import annotations

import sys
from typing import Any

import redis

from core import liveness
from core.celery import celery_app
from core.celery_worker import serve
from core.services import broker_url

QUEUE, TASK, TAKEN = "upset", "test.count", "test.taken"
DEAF = "test.deaf"  # the next process that starts takes nothing, as one that has lost its place at the broker


def main() -> int:
    app = celery_app()
    client = redis.Redis.from_url(broker_url(), socket_timeout=5, retry_on_timeout=True)

    @app.task(name=TASK)
    def count(number: int) -> None:
        client.sadd(TAKEN, number)

    def ready(consumer: Any) -> None:
        if client.getdel(DEAF):
            consumer.task_consumer.channel.qos.can_consume = lambda: False

    liveness.STALLED_S = 3.0
    return serve(app, "consumer@test", [QUEUE], 2, ready)


if __name__ == "__main__":
    sys.exit(main())
