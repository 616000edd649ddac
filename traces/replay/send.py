"""Sending arrivals on time, answered or not, and waiting for what became of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.progress import Progress

from core.client import ArgusClient
from core.errors import ArgusError
from traces.replay.plan import Planned

SENDERS = 32  # submissions under way at once; more wait, and the wait counts
FINAL = ("done", "failed", "cancelled")
LOOK_S = 2.0


@dataclass
class Sent:
    """What became of a planned request. Times in seconds after the start, our clock."""

    planned: Planned
    answered: float = 0.0
    request_id: str | None = None
    refused: str | None = None
    row: dict[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        return self.row.get("state") == "done"

    @property
    def latency_s(self) -> float | None:
        """From the intended arrival to the stored image; None without an image."""
        return self.answered - self.planned.at + self.row["latency_s"] if self.done else None

    @property
    def slo_s(self) -> float:
        """The time it should have taken, as the server promised."""
        promised = datetime.fromisoformat(self.row["deadline_at"])
        return (promised - datetime.fromisoformat(self.row["times"]["accepted_at"])).total_seconds()

    @property
    def violated(self) -> bool:
        """Late, failed, refused or still waiting."""
        latency = self.latency_s
        return latency is None or latency > self.slo_s

    @property
    def pair(self) -> tuple[str, int]:
        return self.planned.prompt, self.planned.seed


def send(client: ArgusClient, planned: Sequence[Planned], body: dict[str, Any], bar: Progress) -> list[Sent]:
    """Send each request at its time, answered or not; returns when all have been answered."""
    sent = [Sent(one) for one in planned]
    task = bar.add_task("sending", total=len(sent))
    start = time.monotonic()

    def submit(one: Sent) -> None:
        try:
            answer = client.submit({**body, "prompt": one.planned.prompt, "seed": one.planned.seed})
            one.request_id = answer["requests"][0]["id"]
        except ArgusError as error:
            one.refused = error.message
        one.answered = time.monotonic() - start
        bar.advance(task)

    with ThreadPoolExecutor(SENDERS, thread_name_prefix="send") as pool:
        for one in sent:
            time.sleep(max(0.0, start + one.planned.at - time.monotonic()))
            pool.submit(submit, one)
    return sent


def wait(client: ArgusClient, sent: Sequence[Sent], patience_s: float, bar: Progress) -> None:
    """Read every request once it is at rest and scored, until all are or patience ends."""
    waiting = [one for one in sent if one.request_id]
    task = bar.add_task("finishing", total=len(waiting))
    end = time.monotonic() + patience_s
    while waiting:
        for one in list(waiting):
            one.row = client.get(f"/v1/requests/{one.request_id}")
            if _at_rest(one.row):
                waiting.remove(one)
                bar.advance(task)
            elif one is waiting[0]:  # the oldest is still open: so are most behind it
                break
        if time.monotonic() > end:
            break
        if waiting:
            time.sleep(LOOK_S)
    for one in waiting:
        one.row = client.get(f"/v1/requests/{one.request_id}")


def _at_rest(row: dict[str, Any]) -> bool:
    return row["state"] in FINAL and (row["state"] != "done" or row["quality"]["score"] is not None)
