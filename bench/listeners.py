"""How soon do a thousand listeners hear? Server-sent events of jobs, each listener with a connection of its own.

    python -m bench.listeners [--listeners 1000] [--seconds 30] [--write]

PostgreSQL, Valkey and one web process; no worker. Twice: every listener follows a job of its own, then all follow one.
Requests end as a worker ends them, by one UPDATE that commits, ten a second of different jobs, then one a second of the
one job. What counts is the time from the commit's begin to the last byte of the event at each listener; the listeners
are one asyncio program on the same machine.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import click
import numpy as np

from bench.live.machine import hardware
from bench.own import keep, own_home, own_services, run_of
from core.client import ArgusClient
from core.settings import ROOT

KEPT, PAGE = ROOT / "docs/results/listeners.json", ROOT / "docs/results/listeners.md"
GOAL_MS = 250.0
END = "UPDATE request SET state = 'failed', error_code = 'bench', error = 'ended' WHERE id = %s"
SETTLED_S = 120.0


class Ears:
    """Listeners, and when each heard of which request."""

    def __init__(self, url: str) -> None:
        self._at = urlsplit(url)
        self.heard: defaultdict[str, list[float]] = defaultdict(list)
        self.listening, self.lost = 0, 0

    async def follow(self, path: str) -> None:
        """Listen to a job until cancelled; come back when the stream ends, as browsers do."""
        last = ""
        while True:
            reader, writer = await asyncio.open_connection(self._at.hostname, self._at.port, limit=2**20)
            more = f"Last-Event-ID: {last}\r\n" if last else ""
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode())
            counted = False
            try:
                if b" 200 " not in await reader.readline():
                    self.lost += 1
                    await asyncio.sleep(1.0)
                    continue
                while line := await reader.readline():
                    if line.startswith(b"id: "):
                        last = line[4:].decode().strip()
                    elif line.startswith(b": waiting") and not counted:
                        self.listening, counted = self.listening + 1, True
                    elif line.startswith(b'data: {"id": "') and b'"error_code": "bench"' in line:
                        self.heard[line[14:50].decode()].append(time.perf_counter())
            finally:
                self.listening -= counted
                writer.close()


async def measure(
    url: str, database: str, jobs: list[dict[str, Any]], listeners: int, every_s: float, count: int
) -> Any:
    """Milliseconds from the commit of each of `count` ends to each listener that is to hear of it."""
    import psycopg2

    ears = Ears(url)
    tasks = [asyncio.create_task(ears.follow(jobs[at % len(jobs)]["links"]["events"])) for at in range(listeners)]
    end = time.monotonic() + SETTLED_S
    while ears.listening < listeners and time.monotonic() < end:
        await asyncio.sleep(0.1)
    connection = await asyncio.to_thread(psycopg2.connect, database)
    connection.autocommit = True
    ended: dict[str, float] = {}
    for number in range(count):
        due = time.perf_counter() + every_s
        job = jobs[number * 7 % len(jobs)]
        request = job["requests"][number // len(jobs) if len(jobs) > 1 else number]["id"]
        ended[request] = time.perf_counter()
        with connection.cursor() as cursor:
            await asyncio.to_thread(cursor.execute, END, (request,))
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
    await asyncio.sleep(3.0)
    for task in tasks:
        task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)
    connection.close()
    each = listeners // len(jobs)
    taken = [1000 * (at - ended[request]) for request in ended for at in ears.heard[request][:each]]
    missed = sum(max(0, each - len(ears.heard[request])) for request in ended)
    return {"events": count, "heard": len(taken), "missed": missed, "refused": ears.lost,
            "percentiles_ms": {str(q): float(np.percentile(taken, q)) for q in (50, 95, 99, 100)}}  # fmt: skip


def page(found: dict[str, Any]) -> str:
    """The page of the results."""
    run, machine = found["run"], found["hardware"]
    lines = [
        "# How soon a thousand listeners hear",
        "",
        f"`{run['command']}`, {run['measured']}, commit {run['commit']}; {machine['name']}, {machine['cores']} cores; "
        f"load average before {run['load_before']:.1f}. {run['listeners']} streams of events of one web process, the "
        "listeners on the same machine; milliseconds from the beginning of the commit that ends a request to its event "
        f"at each listener. The goal is p95 < {GOAL_MS:.0f}.",
        "",
        "| what | events | heard | missed | refused | p50 | p95 | p99 | worst |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, each in found["ways"].items():
        shown = " | ".join(f"{value:.0f}" for value in each["percentiles_ms"].values())
        lines.append(
            f"| {name} | {each['events']} | {each['heard']} | {each['missed']} | {each['refused']} | {shown} |"
        )
    return "\n".join([*lines, ""])


@click.command()
@click.option("--listeners", default=1000, type=click.IntRange(1, 1100), show_default=True, help="How many listen.")
@click.option("--seconds", default=30, type=click.IntRange(1, 50), show_default=True, help="For so long, each way.")
@click.option("--write", is_flag=True, help="Write docs/results/listeners.json and .md.")
def main(listeners: int, seconds: int, write: bool) -> None:
    """Say how soon listeners hear."""
    run = run_of("bench.listeners", listeners=listeners, seconds=seconds)
    ways = {}
    with own_home("listeners") as home, own_services(home) as services:
        url, database = services.web(), services.database_url
        argus = ArgusClient(url)
        own = [argus.submit({"prompt": "a fox", "n": 5}) for _ in range(listeners)]
        one = [argus.submit({"prompt": "a fox", "n": seconds + 5})]
        ways["a job each, 10 ends a second"] = asyncio.run(measure(url, database, own, listeners, 0.1, 10 * seconds))
        ways["all one job, an end a second"] = asyncio.run(measure(url, database, one, listeners, 1.0, seconds))
    found = {"run": run, "hardware": hardware(), "ways": ways}
    if write:
        keep(found, KEPT, PAGE, page(found))
    click.echo(page(found))


if __name__ == "__main__":
    main()
