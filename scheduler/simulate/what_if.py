"""The last hour had it been otherwise: another policy, more or fewer workers. Everything found is simulated.

`python -m scheduler.simulate.what_if ID` answers a question of the dashboard (`core.what_if_tables`), in a process of
its own: routing goes on beside it. The same hour is simulated as it was, too, and stands beside what was measured: how
far apart these are is how far the simulator is to be trusted here.

It takes some 20 s at most: with more requests than that allows, the end of the hour is simulated instead of all, and
plans are made less often.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from core.database import transaction
from core.families import load_family
from core.niceness import give_way
from core.own_work import FROM_USERS
from core.settings import settings
from core.tables import Job, Request, ServiceClass, State
from core.what_if_tables import WhatIf
from scheduler.observation.recording import Kept, NoRun, record
from scheduler.observation.target import latency_target_s
from scheduler.policies import Cluster
from scheduler.simulate.loop import simulate
from scheduler.simulate.recorded import config, work

HOUR_S = 3600.0
MOST = 5_000  # requests of one simulation, which takes 1 to 2 ms of each
PLANS = 180  # of one simulation


@dataclass(frozen=True)
class Fared:
    """How interactive requests fared. Shares are of 1, quality is relative; none where nothing was drawn."""

    requests: int
    late: float
    quality: float | None
    p95_s: float | None
    levels: dict[str, float]  # share of the images


@dataclass(frozen=True)
class Found:
    """What was measured, and the same time simulated: as it was, and as it was asked for."""

    since: str
    until: str
    cut: bool  # only the end of the hour, which had more than MOST requests
    tick_s: float
    named: int  # requests that asked for their level: simulated as if they had not
    was: dict[str, Any]  # policy, and workers by device type
    measured: Fared
    same: Fared
    other: Fared
    seconds: float  # of CPU


@dataclass(frozen=True)
class Hour:
    """What users asked for, as far as it is over; `cut`: only the end of the hour."""

    kept: Kept
    since: datetime
    until: datetime
    cut: bool


def last_hour(session: Session) -> Hour:
    """The last hour's run; raises `NoRun` where there is nothing to simulate."""
    family = load_family(settings().family)
    until = datetime.now(UTC) - timedelta(seconds=latency_target_s(session, family))
    since = until - timedelta(seconds=HOUR_S)
    which = (
        Request.accepted_at < until,
        Request.state != State.CANCELLED,
        Request.job_id.in_(select(Job.id).where(FROM_USERS)),
        or_(Request.service_class == ServiceClass.INTERACTIVE, Request.started_at.is_not(None)),
    )
    mine = select(Request.accepted_at).where(Request.family == family.id, Request.accepted_at >= since, *which)
    first = session.scalar(mine.order_by(Request.accepted_at.desc()).offset(MOST - 1).limit(1))
    begun = first or session.scalar(mine.order_by(Request.accepted_at).limit(1)) or since
    return Hour(record(session, family, begun, *which), begun, until, first is not None)


def find(hour: Hour, policy: str, workers: Mapping[str, int], seed: int = 0) -> Found:
    """Simulate the hour as it was and as it is asked for."""
    kept = hour.kept
    had = {"policy": kept.about["policy"], "workers": kept.about["workers"]}
    instead = {"policy": policy, "workers": dict(workers)}
    tick_s = max(kept.about["tick_s"], (hour.until - hour.since).total_seconds() / PLANS)
    same, seconds = _simulated(kept, seed, tick_s)
    other = same
    if instead != had:
        other, more = _simulated(kept, seed, tick_s, **instead)
        seconds += more
    return Found(
        since=hour.since.isoformat(),
        until=hour.until.isoformat(),
        cut=hour.cut,
        tick_s=tick_s,
        named=sum(kept.requests["named"]),
        was=had,
        measured=measured(kept),
        same=same,
        other=other,
        seconds=seconds,
    )


def measured(kept: Kept) -> Fared:
    """What became of the requests of a record, as the simulator counts it."""
    simulated = config(kept, 0)
    cluster = Cluster(simulated.profiles, simulated.slo_s)
    places = {level: place for place, level in enumerate(cluster.levels)}
    columns = (kept.requests[name] for name in ("at", "stored", "late", "level", "qualities", "batch"))
    rows = [row for row in zip(*columns, strict=True) if not row[-1]]
    drawn = [
        (stored - at, quality, cluster.drawn(places[level], quality))
        for at, stored, _, level, quality, _ in rows
        if stored is not None and level in places
    ]
    levels = [cluster.levels[level] for _, _, level in drawn]
    return Fared(
        len(rows),
        sum(late for _, _, late, *_ in rows) / max(1, len(rows)),
        float(np.mean([quality[level] for _, quality, level in drawn])) if drawn else None,
        float(np.percentile([taken for taken, _, _ in drawn], 95)) if drawn else None,
        {level: levels.count(level) / len(levels) for level in cluster.levels if level in levels},
    )


def _simulated(kept: Kept, seed: int, tick_s: float, **instead: Any) -> tuple[Fared, float]:
    """How the requests of a record fare, and the seconds of CPU that this took."""
    report = simulate(config(kept, seed, tick_s=tick_s, **instead), work(kept))
    figures, served = report.figures, report.figures["served"] > 0
    return Fared(
        figures["requests"],
        figures["violation_rate"],
        figures["quality_mean"] if served else None,
        figures["latency_p95_s"] if served else None,
        {level: share for level, share in figures["levels"].items() if share},
    ), report.seconds


def answer(question: uuid.UUID) -> None:
    """Answer a question of the dashboard."""
    found: dict[str, Any] | None = None
    error = None
    with transaction() as session:
        asked = session.get_one(WhatIf, question)
        policy, workers = asked.policy, asked.workers
    try:
        with transaction() as session:
            hour = last_hour(session)
        found = asdict(find(hour, policy, workers))
    except NoRun as nothing:
        error = str(nothing)
    with transaction() as session:
        ended = update(WhatIf).where(WhatIf.id == question)
        session.execute(ended.values(found=found, error=error, ended_at=func.now()))


if __name__ == "__main__":
    give_way()
    answer(uuid.UUID(sys.argv[1]))
