"""The ETA of jobs whose images end at random: rows as workers leave them, read by the code that answers clients."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from statistics import mean
from typing import Any

import click
import numpy as np
from sqlalchemy import insert, text

from app.records.eta import read_etas
from bench.own import keep, own_database, own_home, run_of
from core.database import transaction
from core.requests import new_requests
from core.settings import ROOT
from core.tables import Attempt, Job, ServiceClass

KEPT, PAGE = ROOT / "docs/results/eta-simulated.json", ROOT / "docs/results/eta-simulated.md"
LOOKS, SIZE, RUNS = (0.25, 0.5, 0.75), 1_000, 20
GAP_S, SPREAD = 1.0, 1.0  # between two ends: lognormal, of this mean and this spread of the logarithm
Gaps = Callable[[np.random.Generator], np.ndarray]


def steady(rng: np.random.Generator) -> np.ndarray:
    """Gaps of a job that has its workers for itself."""
    found: np.ndarray = GAP_S * rng.lognormal(-(SPREAD**2) / 2, SPREAD, SIZE)
    return found


def in_waves(rng: np.random.Generator) -> np.ndarray:
    """Interactive requests take up to two thirds of the workers, more and less, in waves of five minutes or so."""
    wave = np.sin(np.arange(SIZE) * 2 * np.pi / rng.uniform(150, 400) + rng.uniform(0, 6.3))
    found: np.ndarray = steady(rng) * (2.0 + wave)
    return found


def halved_halfway(rng: np.random.Generator) -> np.ndarray:
    """Half of the workers leave when half is drawn: nobody can know that before."""
    return steady(rng) * np.where(np.arange(SIZE) < SIZE // 2, 1.0, 2.0)


PARTS: dict[str, Gaps] = {
    "alone": steady,
    "beside waves of others": in_waves,
    "half the workers leave at 50 %": halved_halfway,
}


def said(ends: np.ndarray, drawn: int) -> float | None:
    """What is said when so many are drawn; `ends` are seconds (SIZE,) after the start."""
    now = datetime.now(UTC)
    at = [now - timedelta(seconds=float(ends[drawn - 1] - end)) for end in ends[:drawn]]
    job = Job(id=uuid.uuid4(), family="embedded", source="api", size=SIZE, created_at=at[0], tenant="default")
    job.service_class = ServiceClass.BATCH
    plain = {"prompt": "a fox", "seed": 1, "width": 64, "height": 64, "steps": 8, "guidance": 2.0}
    rows = [{"id": uuid.uuid4(), "position": place, **plain} for place in range(SIZE)]
    tried: dict[str, Any] = {"number": 1, "worker": "w", "boot": uuid.uuid4(), "level": "exact", "model": "m"}
    tried |= {"outcome": "done", "denoise_s": 1.0, "batch_mean": 1.0}
    with transaction() as session:
        session.add(job)
        session.flush()
        new_requests(session, job, rows, now + timedelta(days=1))
        ended = zip(rows, at, strict=False)
        tries = [{"id": uuid.uuid4(), "request_id": row["id"], "ended_at": end, **tried} for row, end in ended]
        session.execute(insert(Attempt), tries)
        done = {"ids": [row["id"] for row in rows[:drawn]]}
        session.execute(text("UPDATE request SET state = 'done', stored_at = now() WHERE id = ANY(:ids)"), done)
        found = read_etas(session).get(job.id)
        session.rollback()
    return found.seconds if found else None


def errors(gaps: Gaps) -> dict[str, list[float]]:
    """Of each run, by how much what is said is off, as a share of what it takes, at each look."""
    found: dict[str, list[float]] = {f"{look:.0%}": [] for look in LOOKS}
    for number in range(RUNS):
        ends = np.cumsum(gaps(np.random.default_rng(number)))
        for look in LOOKS:
            drawn = round(look * SIZE)
            seconds = said(ends, drawn)
            if seconds is not None:
                found[f"{look:.0%}"].append(seconds / float(ends[-1] - ends[drawn - 1]) - 1)
    return found


def page(found: dict[str, Any]) -> str:
    """The page of the results."""
    rows = []
    for name, looks in found["parts"].items():
        for look, off in looks.items():
            worst = max(off, key=abs)
            rows.append(
                f"| {name} | {look} | {mean(map(abs, off)):.0%} | {mean(off):+.0%} | {worst:+.0%} | {len(off)} |"
            )
    run = found["run"]
    return "\n".join(
        [
            "# How far off the time is that a job is said to take, simulated",
            "",
            f"`{run['command']}`, {run['measured']}, commit {run['commit']}. Jobs of {SIZE:,} requests of batch work; "
            f"the gaps between the ends of images are lognormal with a mean of {GAP_S:g} s (spread of the logarithm "
            f"{SPREAD:g}), longer as the part says. They are written as rows, and `app/records/eta.py` reads them. "
            f"{RUNS} jobs of each part.",
            "",
            "| job | drawn | off by, mean of sizes | mean | worst | jobs |",
            "| --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


def report(write: bool) -> None:
    """Simulate, print and, as asked, keep the page."""
    run = run_of("bench.eta")
    with own_home("eta") as home, own_database(home):
        parts = {name: errors(gaps) for name, gaps in PARTS.items()}
    found = {"run": run, "parts": parts}
    if write:
        keep(found, KEPT, PAGE, page(found))
    click.echo(page(found))
