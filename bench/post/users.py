"""What locust runs, in an environment of its own: users that send one request a second each, evenly apart.

    locust -f bench/post/users.py --headless … (`bench.post` calls it)

A user sends when its second comes, whatever the server does: only one that takes over a second would hold it back, and
that is counted. What is written is each answer's time in milliseconds, with when it was due.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

import gevent
from locust import FastHttpUser, constant_throughput, events, task

RATE = int(os.environ["POST_RATE"])
PATH = os.environ["POST_PATH"]
BEGIN = time.perf_counter()
FOUND: list[tuple[float, float, int]] = []


class Sender(FastHttpUser):  # type: ignore[misc]  # locust is installed where it runs, not here
    """One of RATE."""

    wait_time = constant_throughput(1)
    made = 0

    def on_start(self) -> None:
        """Begin a little after the one before."""
        self.number = Sender.made
        Sender.made += 1
        gevent.sleep(self.number / RATE)

    @task  # type: ignore[untyped-decorator]
    def send(self) -> None:
        """One prompt, another each time."""
        began = time.perf_counter()
        body = {"prompt": f"a fox in the snow, number {self.number} at {began:.3f}"}
        with self.client.post(PATH, json=body, catch_response=True) as answer:
            FOUND.append((began - BEGIN, 1000 * (time.perf_counter() - began), answer.status_code))
            answer.success() if answer.status_code in (200, 202) else answer.failure(str(answer.status_code))


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def write(environment: Any, **_: Any) -> None:
    """Every answer, for `bench.post`."""
    with open(os.environ["POST_OUT"], "w", encoding="utf-8") as file:
        json.dump(FOUND, file)
