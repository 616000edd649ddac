"""The live system in size: a deep backlog with many workers, a long history, a large plan.

Real PostgreSQL and Valkey with a database of their own. Workers are rows and this process: their heartbeats, their
housekeeping and their claims are the real code, their pictures are not drawn. History is rows that the database makes.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from sqlalchemy import event, func, select, text, update

from app.records.report import report_out
from bench.scheduler.backlog import join_workers, queue_requests, services
from bench.scheduler.history import fill
from bench.scheduler.part import Part
from bench.scheduler.planner import fleet, timed
from bench.scheduler.setup import Setup
from bench.scheduler.tables import goal, goals, table
from core.database import engine, transaction
from core.families import Family, load_family
from core.requests import release
from core.tables import Assignment, Request, Worker
from core.workers import WorkerIdentity
from scheduler.control import escalate
from scheduler.control.observe import Observed
from scheduler.control.tick import Scheduler
from scheduler.observation import queries
from scheduler.observation.report import make_report
from scheduler.observation.snapshot import SnapshotReader
from scheduler.prediction.audit import audited, order_audits

WAITING, WORKERS, TICKS = 100_000, 1_000, 3
THREADS, CLAIMING_S, ROUNDS = 2, 20.0, 30
HISTORY, DAYS = 5_000_000, 30.0  # requests; SCALE_HISTORY makes another number of them
HISTORY_VARIABLE = "SCALE_HISTORY"
TIMES = 3  # each query
# What the scheduler's process does for all others.
SHARING = """
from core.families import load_family
from scheduler.observation.readings import ReadingsShared
ReadingsShared(load_family("embedded")).run()
"""


def scale(setup: Setup) -> dict[str, Any]:
    """Claims, ticks and statements with a deep backlog; queries over a long history; plans of large fleets."""
    with services():
        family = load_family("embedded")
        load = live(family, setup.seed)
        past = history(family, int(os.environ.get(HISTORY_VARIABLE, HISTORY)))
    rng = np.random.default_rng(setup.seed)
    fleets = [fleet(rng, 8, 1000, models, 32, 64, at) for models in (2, 4, 8, 16, 32) for at in (0.5, 0.8, 0.95, 1.2)]
    return {"live": load, "history": past, "planner": timed(fleets)}


# -- a deep backlog, many workers -------------------------------------------------------------------------------------


class TimedScheduler(Scheduler):
    """The scheduler, which says how long it waited for answers: the workers are rows, and rows do not answer."""

    asked_s = 0.0

    def verify(self, observed: Observed) -> None:
        started = time.perf_counter()
        super().verify(observed)
        self.asked_s = time.perf_counter() - started


def live(family: Family, seed: int) -> dict[str, Any]:
    """A tick, claims and a quiet minute with `WAITING` requests and `WORKERS` workers."""
    models = itertools.islice(itertools.cycle(family.offered), WORKERS)
    join_workers(family, tuple(models))
    queue_requests(family, WAITING, seed)
    vacuum()
    scheduler = TimedScheduler(family)
    ticks = [_tick(scheduler, family) for _ in range(TICKS)]
    later = func.now() + text("make_interval(secs => 30 + 600.0 * seed / :waiting)").bindparams(waiting=WAITING)
    served = sorted({level for some in _levels(family).values() for level in some})
    levels = text("(CAST(:served AS text[]))[1 + seed % :count]").bindparams(served=served, count=len(served))
    with transaction() as session:  # ticks took their time, and move but some at once to other workers
        session.execute(update(Request).values(deadline_at=later, deadline_unreachable=False, level=levels))
    vacuum()
    with subprocess.Popen([sys.executable, "-c", SHARING]) as sharing:
        alone, claims = _claims(family, 1), _claims(family, THREADS)
        sharing.terminate()
    return {
        "waiting": WAITING,
        "workers": WORKERS,
        "tick_s": [seconds for seconds, _ in ticks],
        "asked_s": [asked for _, asked in ticks],
        "claims": len(claims),
        "claims_per_s": len(claims) / CLAIMING_S,
        "claim_p50_s": float(np.quantile(claims, 0.5)),
        "claim_p95_s": float(np.quantile(claims, 0.95)),
        "alone_p50_s": float(np.quantile(alone, 0.5)),
        "alone_p95_s": float(np.quantile(alone, 0.95)),
        "statements_per_claim": _statements_per_claim(family),
        "statements_per_s": _statements(family) / ROUNDS,
        "threads": THREADS,
    }


def _tick(scheduler: TimedScheduler, family: Family) -> tuple[float, float]:
    """Seconds of a tick without, and of, waiting for answers; afterwards the workers hold what they were told."""
    started = time.perf_counter()
    if scheduler.tick() is None:
        raise RuntimeError("the tick failed: see the log")
    seconds = time.perf_counter() - started
    with transaction() as session:
        session.execute(update(Assignment).values(verified_at=func.now(), applied_at=func.now()))
        newest = select(Assignment).distinct(Assignment.worker).order_by(Assignment.worker, Assignment.id.desc())
        for told in session.scalars(newest):
            session.execute(
                update(Worker).where(Worker.name == told.worker).values(models=told.models, queues=told.queues)
            )
    return seconds - scheduler.asked_s, scheduler.asked_s


def _levels(family: Family) -> dict[str, list[str]]:
    """The levels of each worker, by name."""
    with transaction() as session:
        rows = list(session.scalars(select(Worker).order_by(Worker.name)))
    return {row.name: [level for level in family.levels if family.queue(level) in row.queues] for row in rows}


def _claims(family: Family, threads: int) -> list[float]:
    """Seconds of each claim of a few threads that claim for one worker after another, as fast as they can."""
    levels = list(_levels(family).items())

    def drive(thread: int) -> list[float]:
        from workers.admission import PolicyAdmission, claim

        admission = PolicyAdmission(family, levels[thread][0], "cpu")
        taken: list[float] = []
        until = time.perf_counter() + CLAIMING_S
        for name, served in itertools.cycle(levels[thread::threads]):
            started = time.perf_counter()
            if started > until:
                return taken
            claimed = claim(family, WorkerIdentity(name, uuid.uuid4()), served, admission)
            if claimed is not None:
                taken.append(time.perf_counter() - started)
        return taken

    with ThreadPoolExecutor(threads) as pool:
        return [seconds for some in pool.map(drive, range(threads)) for seconds in some]


def _statements_per_claim(family: Family) -> float:
    from workers.admission import PolicyAdmission, claim

    name, served = next(iter(_levels(family).items()))
    admission, times = PolicyAdmission(family, name, "cpu"), 50
    with counted() as seen:
        claimed = [claim(family, WorkerIdentity(name, uuid.uuid4()), served, admission) for _ in range(times)]
    release([one.attempt for one in claimed if one], "returned", "the end of the benchmark", "worker_lost")
    return len(seen) / times


def _statements(family: Family) -> int:
    """Statements of `ROUNDS` rounds (of a second) of the housekeeping of all workers, and of their looks at the load.

    Nothing else waits by then: what each request costs beside is counted by the claim.
    """
    from workers.assignment import READ_EVERY_S, AssignmentFollower
    from workers.heartbeat import Heartbeat
    from workers.housekeeping import Housekeeping

    with transaction() as session:
        session.execute(text("DELETE FROM job"))
    everyone = [_quiet_worker(family, name, served) for name, served in _levels(family).items()]
    with counted() as seen:
        for number in range(1, ROUNDS + 1):
            started = time.perf_counter()
            for generation, follower in everyone:
                heart = Heartbeat(generation)
                heart.state = "ready"
                Housekeeping(generation, heart).round(number)
                if number % heart.every_s < 1:
                    heart.beat()
                if number % READ_EVERY_S == 0:
                    AssignmentFollower._newest(follower)
            time.sleep(max(0.0, 1.0 - (time.perf_counter() - started)))
    return len(seen)


def _quiet_worker(family: Family, name: str, served: list[str]) -> tuple[Any, Any]:
    """A worker with nothing to do: the real claims, with an engine and a consumer that are not there."""
    from workers.admission import PolicyAdmission
    from workers.assignment import Assigned, AssignmentFollower
    from workers.generation import Generation

    with transaction() as session:
        boot = session.get_one(Worker, name).boot
    idle = SimpleNamespace(max_batch=1, stats=dict, preempted=list, preload=lambda: None, loaded=list)
    identity = WorkerIdentity(name, boot)
    follower = AssignmentFollower(identity, family, cast(Any, idle))
    follower.current = Assigned(tuple(family.models)[:1], tuple(family.queue(level) for level in served))
    admission = PolicyAdmission(family, name, "cpu")
    return Generation(identity, family, cast(Any, idle), follower, cast(Any, None), admission), follower


# -- a long history ---------------------------------------------------------------------------------------------------


def history(family: Family, rows: int) -> dict[str, Any]:
    """Seconds of what the scheduler learns from, and of what people look at, over so many requests."""
    started = time.perf_counter()
    with transaction() as session:
        session.execute(text("TRUNCATE job, request, attempt, image, score CASCADE"))
    for _ in fill(family.id, family.reference, list(family.levels), rows, DAYS):
        pass
    vacuum()
    filled_s, day = time.perf_counter() - started, timedelta(days=1)
    now, fox = datetime.now(UTC), Request(prompt="a fox")
    learning: dict[str, Callable[[Any], object]] = {
        "audits of a day, measured": lambda session: audited(session, family),
        "audits to order": lambda session: order_audits(session, family, 4),
        "timings of a device type": lambda session: queries.timings(session, family, "cpu"),
        "scores against the reference": lambda session: queries.relative_scores(session, family),
        "score of the reference level": lambda session: escalate._reference_score(session, family, fox),
        "the load, with hours of demand": lambda session: SnapshotReader(family).snapshot(session, fresh=True),
    }
    views: dict[str, Callable[[Any], object]] = {
        "report of the last day": lambda session: make_report(session, now - day, now),
        "dashboard of the last day": lambda session: report_out(session, 1440),
        "dashboard of the last hour": lambda session: report_out(session, 60),
    }
    with transaction() as session:
        size = session.scalar(text("SELECT pg_database_size(current_database())"))
        last_day = session.scalar(select(func.count()).select_from(Request).where(Request.accepted_at > now - day))
    return {
        "requests": rows,
        "days": DAYS,
        "last_day": last_day,
        "gigabytes": (size or 0) / 1e9,
        "fill_s": filled_s,
        "learning": {name: _seconds(query) for name, query in learning.items()},
        "views": {name: _seconds(query) for name, query in views.items()},
    }


def _seconds(query: Callable[[Any], object]) -> list[float]:
    """Wall seconds of a few runs, nothing of it kept."""
    found = []
    for _ in range(TIMES):
        started = time.perf_counter()
        with transaction() as session:
            query(session)
            session.rollback()
        found.append(time.perf_counter() - started)
    return found


def vacuum() -> None:
    """What autovacuum would have done by now."""
    with engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


@contextmanager
def counted() -> Iterator[list[str]]:
    """The statements that this process executes meanwhile."""
    seen: list[str] = []

    def hook(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(engine(), "before_cursor_execute", hook)
    try:
        yield seen
    finally:
        event.remove(engine(), "before_cursor_execute", hook)


# -- the page ---------------------------------------------------------------------------------------------------------


def show_scale(data: dict[str, Any]) -> str:
    now, past, planned = data["live"], data["history"], data["planner"]
    queried = {**past["learning"], **past["views"]}
    cells = [(name, *(f"{seconds:.2f}" for seconds in runs)) for name, runs in queried.items()]
    lines = [
        f"{now['waiting']:,} requests wait; {now['workers']:,} workers are there as rows. {now['threads']} threads "
        f"claimed {now['claims']:,} requests for them, {now['claims_per_s']:.0f} a second: what two cores give client "
        f"and database together; one thread alone took {1000 * now['alone_p50_s']:.1f} ms a claim (median), "
        f"{1000 * now['alone_p95_s']:.1f} ms at the 95th percentile. "
        f"A claim is {now['statements_per_claim']:.1f} statements. Workers that have nothing to "
        f"do cause {now['statements_per_s']:.0f} statements a second, all together. Ticks took "
        f"{', '.join(f'{seconds:.2f}' for seconds in now['tick_s'])} s, beside up to {max(now['asked_s']):.1f} s of "
        "waiting for the answers of workers, which rows do not give.",
        "",
        f"History: {past['requests']:,} requests of {past['days']:.0f} days with an attempt, image and score each; "
        f"{past['last_day']:,} of them of the last day; {past['gigabytes']:.1f} GB. The goal was set for 100 million: "
        "they do not fit here, and nothing is extrapolated.",
        "",
        table(("query over the history, s", "first", "second", "third"), cells),
        "",
        f"{planned['instances']} plans of 8 device types, 32 levels, 64 classes, 1,000 workers and 2 to 32 models at "
        f"half to 1.2 of capacity took {planned['cpu_median']:.2f} s of CPU (median), the longest "
        f"{planned['cpu_max']:.2f} s.",
        "",
        goals(_goals(data)),
    ]
    return "\n".join(lines)


def _goals(data: dict[str, Any]) -> list[tuple[str, str, str]]:
    now, planned = data["live"], data["planner"]
    tick, statements = max(now["tick_s"]), now["statements_per_s"]
    learning, views = (max(max(runs) for runs in data["history"][kind].values()) for kind in ("learning", "views"))
    return [
        goal("a claim under 10 ms (p95)", now["claim_p95_s"] < 0.01, _claim(now)),
        goal("a tick under 1 s", tick < 1, f"{tick:.2f} s"),
        goal("under 500 statements a second beside the requests' own", statements < 500, f"{statements:.0f}"),
        goal("each learning query under 5 s", learning < 5, f"{learning:.2f} s"),
        goal("each view of the last day under 2 s", views < 2, f"{views:.2f} s"),
        goal(
            "a plan under 1 s of CPU, gap ≤ 0.1 %",
            planned["cpu_max"] < 1 and planned["gap_max"] <= 1e-3,
            f"{planned['cpu_max']:.2f} s, {100 * planned['gap_max']:.4f} %",
        ),
    ]


def _claim(now: dict[str, Any]) -> str:
    return f"{1000 * now['claim_p95_s']:.1f} ms, median {1000 * now['claim_p50_s']:.1f} ms"


PART = Part(
    scale,
    show_scale,
    "In size",
    "Measured: the live code on real PostgreSQL and Valkey, wall time; database, broker and the threads that ask share "
    "two cores.",
)
