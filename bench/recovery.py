"""How soon is work of a lost worker taken up elsewhere, and how soon is everything drawn after the database was away?

    python -m bench.recovery [--times 8] [--write]

Two CPU workers beside all services, a job of a few exact pictures at a time.

Worker: one that is drawing is killed (SIGKILL); counted from then until each request that it was at has an attempt of
the other worker, or of its successor, by the rows' clock.

Database: PostgreSQL is told to stop in the middle of a job (SIGINT, which ends all sessions; the supervisor starts it
again); counted from the first connection that it takes until the last picture of the job is stored. Drawing is in that,
so the page says beside it what the same job takes undisturbed.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import click
import psycopg2

from bench.live.instance import DEVICES, children, environ, running
from bench.live.machine import hardware, told
from bench.own import keep, own_home, run_of
from core.client import ArgusClient
from core.settings import ROOT
from traces.replay.plan import read_prompts

Found = TypeVar("Found")

KEPT, PAGE = ROOT / "docs/results/recovery.json", ROOT / "docs/results/recovery.md"
WORKER_S, DATABASE_S = 15.0, 10.0  # the goals
PICTURES = 4  # of a job: both workers are at it
PATIENCE_S, LOOK_S = 120.0, 0.02
AT_WORK = """
SELECT split_part(attempt.worker, '@', 1), array_agg(request_id::text), extract(epoch FROM clock_timestamp())::float
FROM attempt JOIN request ON request.id = request_id
WHERE attempt.outcome IS NULL AND job_id = %s GROUP BY attempt.worker ORDER BY count(*) DESC LIMIT 1
"""
ELSEWHERE = """
SELECT extract(epoch FROM min(attempt.started_at))::float FROM attempt
WHERE request_id = ANY (%s::uuid[]) AND started_at > to_timestamp(%s) GROUP BY request_id
"""
STORED = """
SELECT count(*) FILTER (WHERE state = 'done'), extract(epoch FROM max(stored_at))::float FROM request WHERE job_id = %s
"""


class Here:
    """The Argus under test, its rows and its processes."""

    def __init__(self, home: Path, client: ArgusClient, prompts: Sequence[str]) -> None:
        self.home, self.client = home, client
        self._prompts = iter(prompts)
        self._url = json.loads((home / "run" / "services.json").read_text())["database_url"]

    def submit(self) -> str:
        """A job of some new prompts, exact."""
        prompts = [next(self._prompts) for _ in range(PICTURES)]
        return str(self.client.submit({"prompts": prompts, "level": "exact", "deadline_s": PATIENCE_S})["id"])

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The answer of the database; raises `psycopg2.OperationalError` while it is away."""
        with closing(psycopg2.connect(self._url)) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()

    def stop(self, child: str, how: signal.Signals) -> None:
        os.kill(children(self.home)[child], how)

    def at_work(self, job: str) -> tuple[str, list[str], float]:
        """The worker that has most of this job begun, what that is, and the time by the rows' clock."""
        name, requests, at = until(lambda: next(iter(self.rows(AT_WORK, job)), None))
        return name, requests, at

    def done_at(self, job: str) -> float:
        """When the last picture of a job was stored; waits for it."""
        return until(lambda: next((float(at) for done, at in self.rows(STORED, job) if done == PICTURES), None))

    def settle(self) -> None:
        """Wait until every worker is ready."""
        until(lambda: self._ready() == len(DEVICES) or None)

    def _ready(self) -> int:
        return sum(worker["state"] == "ready" for worker in self.client.get("/v1/plan")["workers"])


def until(look: Callable[[], Found | None]) -> Found:
    """What a look finds that finds something; raises `TimeoutError` when patience is over."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if (found := look()) is not None:
            return found
        time.sleep(LOOK_S)
    raise TimeoutError(f"It did not happen within {PATIENCE_S:.0f} s.")


def worker_killed(here: Here) -> float:
    """Seconds until what a killed worker was at has begun elsewhere."""
    job = here.submit()
    worker, requests, at = here.at_work(job)
    here.stop(f"worker-{worker}", signal.SIGKILL)

    def begun() -> float | None:
        again = [when for (when,) in here.rows(ELSEWHERE, requests, at)]
        return max(again) if len(again) == len(requests) else None

    took = until(begun) - at
    here.done_at(job)
    here.settle()
    return took


def database_restarted(here: Here) -> float:
    """Seconds from the first connection after a restart until the job in the middle of it is done."""
    job = here.submit()
    here.at_work(job)
    here.stop("postgres", signal.SIGINT)
    until(lambda: None if answers(here) else True)
    back = until(lambda: time.time() if answers(here) else None)
    took = max(0.0, here.done_at(job) - back)
    here.settle()
    return took


def undisturbed(here: Here) -> float:
    """Seconds from the moment a job is begun until it is done."""
    job = here.submit()
    *_, at = here.at_work(job)
    return here.done_at(job) - at


def answers(here: Here) -> bool:
    """Whether the database takes connections."""
    try:
        return bool(here.rows("SELECT 1"))
    except psycopg2.OperationalError:
        return False


MEASURED = {
    "worker killed: its requests begun elsewhere": (worker_killed, WORKER_S),
    "PostgreSQL restarted: drawn after it is back": (database_restarted, DATABASE_S),
    "the same job undisturbed": (undisturbed, None),
}


@contextmanager
def argus(home: Path) -> Iterator[Here]:
    """An Argus of two workers, warm."""
    prompts = read_prompts(ROOT / "profiles" / "embedded" / "quality.csv")
    with running(environ(home, "argus", 4.0)) as client:
        here = Here(home, client, prompts)
        here.done_at(here.submit())
        yield here


def page(found: dict[str, Any]) -> str:
    """The page of the results."""
    run, machine = found["run"], found["hardware"]
    lines = [
        "# Recovery: a worker killed, the database restarted",
        "",
        f"`{run['command']}`, {run['measured']}, commit {run['commit']}; {told(machine)}; "
        f"load average before {run['load_before']:.1f}. Two CPU workers of a thread each beside all "
        f"services; jobs of {PICTURES} exact pictures, {run['times']} of each kind, one after the other.",
        "",
        "| what | median, s | longest, s | goal, s |",
        "| --- | ---: | ---: | ---: |",
    ]
    for what, seconds in found["seconds"].items():
        goal = MEASURED[what][1]
        lines.append(f"| {what} | {median(seconds):.1f} | {max(seconds):.1f} | {goal or ''} |")
    return "\n".join([*lines, ""])


@click.command()
@click.option("--times", default=8, type=click.IntRange(1, 100), show_default=True, help="How often each is done.")
@click.option("--write", is_flag=True, help="Write docs/results/recovery.json and .md.")
def main(times: int, write: bool) -> None:
    """Say how soon work goes on after a worker or the database was lost."""
    run = run_of("bench.recovery", times=times)
    with own_home("recovery") as home, argus(home) as here:
        seconds = {what: [once(here) for _ in range(times)] for what, (once, _) in MEASURED.items()}
    found = {"run": run, "hardware": hardware(), "seconds": seconds}
    if write:
        keep(found, KEPT, PAGE, page(found))
    click.echo(page(found))


if __name__ == "__main__":
    main()
