"""How long a tick takes with a deep backlog: the live scheduler on PostgreSQL and Valkey of its own.

Every request waits at the reference level, which nobody serves, so that the tick has to look at all of them and move as
many as it may: observe, plan, record, re-align, publish again. Nothing is simulated but the workers' rows.
"""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import func, insert, select, update

from bench.scheduler.part import Part
from bench.scheduler.setup import Setup
from bench.scheduler.tables import goal, goals
from core.database import forget_connections, migrate, transaction
from core.families import Family, load_family
from core.postgres import postgres
from core.services import valkey
from core.settings import settings
from core.supervisor import Supervisor
from core.tables import Job, Plan, Request, State, Worker
from scheduler.control.tick import Scheduler

WAITING, TICKS = 10_000, 5
HOLD = ("turbo",) * 4  # what the workers hold: what a plan for so deep a backlog wants
SPREAD = 0.05
OURS = ("ARGUS_HOME", "ARGUS_DATABASE_URL", "ARGUS_BROKER_URL")


def backlog(setup: Setup) -> dict[str, Any]:
    """Wall seconds of ticks with `WAITING` requests, each after everything was put back to the reference level."""
    with services():
        family = load_family("embedded")
        join_workers(family, HOLD)
        queue_requests(family, WAITING, setup.seed)
        scheduler = Scheduler(family)
        ticks = [_tick(scheduler, family) for _ in range(TICKS)]
    return {
        "waiting": WAITING,
        "workers": len(HOLD),
        "seconds": [seconds for seconds, _ in ticks],
        "moved": [moved for _, moved in ticks],
    }


def _tick(scheduler: Scheduler, family: Family) -> tuple[float, int]:
    """Wall seconds of a tick, and how many requests it moved to another level."""
    with transaction() as session:
        session.execute(update(Request).values(level=family.reference))
    started = time.perf_counter()
    epoch = scheduler.tick()
    seconds = time.perf_counter() - started
    with transaction() as session:
        if epoch is None:
            raise RuntimeError(session.scalar(select(Plan.reason).order_by(Plan.epoch.desc())))
        moved = session.scalar(select(func.count()).where(Request.level != family.reference)) or 0
    return seconds, moved


def join_workers(family: Family, hold: Sequence[str]) -> None:
    """Rows of workers that are ready, for as long as the benchmark takes."""
    with transaction() as session:
        for place, model in enumerate(hold):
            row = Worker(name=f"cpu{place}@bench", boot=uuid.uuid4(), device=f"cpu:{place}", device_type="cpu")
            row.family, row.state, row.stats = family.id, "ready", {}
            row.models, row.queues = [model], family.queues_of([model])
            row.seen_at = datetime.now(UTC) + timedelta(hours=1)
            session.add(row)


def queue_requests(family: Family, count: int, seed: int) -> None:
    """So many queued requests with deadlines over the next ten minutes."""
    rng, now = np.random.default_rng(seed), datetime.now(UTC)
    losses = np.linspace(0, 0.15, len(family.levels)) * rng.exponential(size=(count, 1))
    losses += rng.normal(0, SPREAD, losses.shape) * (losses > 0)
    qualities = [dict(zip(family.levels, np.clip(1 - row, 0, 1).round(4).tolist(), strict=True)) for row in losses]
    job = Job(id=uuid.uuid4(), family=family.id, source="replay", size=count)
    given = family.defaults
    rows = [
        {
            "id": uuid.uuid4(),
            "job_id": job.id,
            "position": place,
            "family": family.id,
            "prompt": f"prompt {place}",
            "seed": place,
            "width": given.width,
            "height": given.height,
            "steps": given.steps,
            "guidance": given.guidance,
            "deadline_at": now + timedelta(seconds=600 * place / count),
            "state": State.QUEUED,
            "level": family.reference,
            "epoch": 0,
            "qualities": quality,
            "published_at": now,
        }
        for place, quality in enumerate(qualities)
    ]
    with transaction() as session:
        session.add(job)
        session.flush()
        session.execute(insert(Request), rows)


@contextmanager
def services() -> Iterator[None]:
    """PostgreSQL (migrated) and Valkey in a folder that goes afterwards; this process's settings point at them."""
    before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("ARGUS_")}
    with tempfile.TemporaryDirectory(prefix="argus-bench-") as folder:
        home = Path(folder)
        home.chmod(0o755)  # as root, PostgreSQL runs under an id of its own
        supervisor = Supervisor(home / "logs")
        try:
            (database, database_url), (broker, broker_url) = postgres(home), valkey(home)
            supervisor.start(database)
            supervisor.start(broker)
            os.environ.update(ARGUS_HOME=str(home), ARGUS_DATABASE_URL=database_url, ARGUS_BROKER_URL=broker_url)
            settings.cache_clear()
            forget_connections()
            migrate()
            yield
        finally:
            forget_connections()
            supervisor.stop()
            for name in OURS:
                os.environ.pop(name, None)
            os.environ.update(before)
            settings.cache_clear()


def show_backlog(data: dict[str, Any]) -> str:
    longest, moved = max(data["seconds"]), max(data["moved"])
    said = (
        f"{data['waiting']} requests wait on {data['workers']} workers; ticks took "
        f"{', '.join(f'{seconds:.2f}' for seconds in data['seconds'])} s and moved up to {moved} of them to other "
        "workers."
    )
    return f"{said}\n\n" + goals([goal("a tick with 10,000 waiting in under 1 s", longest < 1, f"{longest:.2f} s")])


PART = Part(
    backlog,
    show_backlog,
    "A deep backlog",
    "Measured: the live tick on real PostgreSQL and Valkey, wall time from observing to published messages, on a "
    "machine that had other work.",
)
