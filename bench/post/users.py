"""What locust runs, in an environment of its own: users that send one request a second each, evenly apart.

    locust -f bench/post/users.py --headless … (`bench.post` calls it)

A user sends when its part of the second comes, whatever the server does: only an answer that takes over a second would
hold it back, and that is counted. What is written is each answer's time in milliseconds, with when it was sent. The
parts are kept by the clock: with `constant_throughput`, all users were found to send together.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from locust import FastHttpUser, events, task

RATE = int(os.environ["POST_RATE"])
PATH = os.environ["POST_PATH"]
BEGIN = time.perf_counter()
FOUND: list[tuple[float, float, int]] = []


class Sender(FastHttpUser):  # type: ignore[misc]  # locust is installed where it runs, not here
    """One of RATE."""

    made = 0

    def on_start(self) -> None:
        """Have a part of the second."""
        self.number = Sender.made
        Sender.made += 1
        self.wait()

    def wait_time(self) -> float:
        """Seconds until its part of the next second."""
        return 1.0 - (time.perf_counter() - BEGIN - self.number / RATE) % 1.0

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
