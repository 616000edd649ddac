"""What a live run was, for the simulator to run again (`scheduler.simulate.recorded`).

Arrivals are those of the server (`accepted_at`), and so are lateness and latencies: what a client waits until it is
answered is not the scheduler's. Profiles are as the plan in force at the end corrected them, with what a request takes
besides its steps. Losses that no profile has are read off the same rows:

- `hand_over_s`: from acceptance until a free worker has claimed it, the first decile of those who found nobody waiting.
- `spread`: standard deviation of the logarithm of service times, from the ninth decile that the corrections know. A
  request whose own steps were timed has its own `pace` instead.
- `overhead_s`: from claim to stored image outside the steps and the wait for them, the median over requests, beyond
  what the profile has of it.
- `snapshot_age_s`: how old the load is that decisions go by: not read off, but half of how often it is read.

Devices are not as fast at every time, and policies do not know at the beginning what was learned by the end. So the
profiles as they were measured are kept, too, with what each plan knew of them.

A request's similarity is that of the latent which it was started from; of others as much as its predictions say: they
are 0 at levels whose latent was not near enough.
"""

from __future__ import annotations

import gzip
import json
import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from core.families import Family
from core.profiles import LevelProfile
from core.settings import settings
from core.similarity import cosine_for
from core.tables import Attempt, Job, Plan, Request, ServiceClass
from scheduler.observation import queries
from scheduler.observation.calibration import Timing, expected_s
from scheduler.observation.demand import Demand, arrivals
from scheduler.observation.readings import SCHEDULER_EVERY_S
from scheduler.observation.snapshot import FRESH_S, SnapshotReader, quality_of
from scheduler.observation.stored_plan import plans_of
from scheduler.policies import Cluster, Policy

Rows = Sequence[tuple[Request, Attempt | None]]  # each with its first attempt
JUST_ABOVE = 1e-4  # of a cosine that has to be exceeded
NINTH = 1.2816  # standard deviations from the median to the ninth decile


class NoRun(Exception):
    """There is nothing to simulate; the text says why, as a sentence."""


@dataclass(frozen=True)
class Kept:
    """A record by its parts; what each is, docs/formats.md says."""

    about: dict[str, Any]
    requests: dict[str, list[Any]]

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**self.about, "requests": self.requests}, separators=(",", ":"))
        path.write_bytes(gzip.compress(text.encode(), mtime=0))


def read_record(path: Path) -> Kept:
    found = json.loads(gzip.decompress(path.read_bytes()))
    return Kept({name: value for name, value in found.items() if name != "requests"}, found["requests"])


def record(session: Session, family: Family, since: datetime, *which: ColumnElement[bool]) -> Kept:
    """The run of those requests, told by `Request` and `Job`, that were accepted from `since` on; those before it are
    the forecast's past. Raises `NoRun` where there is nothing to simulate.
    """
    snapshot = SnapshotReader(family).snapshot(session, fresh=True)
    policy = snapshot.policy
    if policy is None:
        raise NoRun("No worker is ready, or its device was never measured: there is no profile to simulate with.")
    rows = _rows(session, Request.family == family.id, Request.accepted_at >= since, *which)
    if not rows:
        raise NoRun("Nothing was asked for in this time.")
    memory = queries.memory_by_type(snapshot.workers)
    ended, measured = (
        [
            profile.model_copy(update={"memory_mb": memory.get(d, 0.0)}).model_dump(mode="json")
            for d, profile in of.items()
        ]
        for of in (policy.cluster.profiles, queries.profiles(family, policy.cluster.profiles))
    )
    about = {
        **{"family": family.id, "policy": policy.name, "tick_s": settings().tick_s, "levels": list(policy.levels)},
        "slo_s": median(_target_s(request) for request, _ in rows),
        "workers": dict(Counter(worker.device_type for worker in snapshot.workers)),
        "profiles": ended,
        "measured": measured,
        "corrections": _corrections(session, family, since),
        "history": _history(session, family, since),
        "losses": losses(rows, policy),
    }
    return Kept(about, _requests(rows, policy, family, since))


def _rows(session: Session, *which: ColumnElement[bool]) -> Rows:
    first = select(Request, Attempt).join(Job).where(*which)
    first = first.outerjoin(Attempt, (Attempt.request_id == Request.id) & (Attempt.number == 1))
    found = session.execute(first.order_by(Request.accepted_at)).all()
    return [(request, attempt) for request, attempt in found]


def _requests(rows: Rows, policy: Policy, family: Family, since: datetime) -> dict[str, list[Any]]:
    def after(time: datetime | None) -> float | None:
        return None if time is None else round((time - since).total_seconds(), 4)

    known = [quality_of(request, policy) for request, _ in rows]
    return {
        "at": [after(request.accepted_at) for request, _ in rows],
        "prompt": [request.prompt for request, _ in rows],
        "qualities": [[round(q, 4) for q in quality] for quality in known],
        "similarity": [
            round((tried and tried.cache_similarity) or likeness(quality, policy.cluster), 4)
            for (_, tried), quality in zip(rows, known, strict=True)
        ],
        "level": [request.level if request.stored_at else None for request, _ in rows],
        "started": [after(tried.started_at if tried else None) for _, tried in rows],
        "stored": [after(request.stored_at) for request, _ in rows],
        "late": [_is_late(request) for request, _ in rows],
        "batch": [request.service_class == ServiceClass.BATCH for request, _ in rows],
        "target_s": [_target_s(request) for request, _ in rows],
        "floor": [request.min_quality or 0.0 for request, _ in rows],
        "length": [round(_length(request, family), 4) for request, _ in rows],
        "tenant": [request.tenant for request, _ in rows],
        "named": [request.level_asked != "auto" for request, _ in rows],
        "pace": paces(rows, policy, family),
    }


def likeness(quality: Sequence[float], cluster: Cluster) -> float:
    """The least similarity at which all levels that are predicted to find a latent do; 0: none is."""
    found = [cluster.skipped[level] for level in cluster.ladders if quality[level] > 0]
    return min(1.0, cosine_for(max(found)) + JUST_ABOVE) if found else 0.0


def _is_late(request: Request) -> bool:
    return request.stored_at is None or request.stored_at > request.deadline_at


def _target_s(request: Request) -> float:
    return (request.deadline_at - request.accepted_at).total_seconds()


def _length(request: Request, family: Family) -> float:
    """Its work, in requests of the family's usual steps and size."""
    usual = family.defaults
    return request.width * request.height * request.steps / (usual.width * usual.height * usual.steps)


def losses(rows: Rows, policy: Policy) -> dict[str, float]:
    """See above."""
    ratios = {level.id: level.p90_ratio for p in policy.cluster.profiles.values() for level in p.levels}
    spread = [math.log(ratios.get(tried.level, 1.0)) / NINTH for _, tried in rows if tried]
    return {
        "hand_over_s": hand_over(*_claimed(rows)),
        "overhead_s": overhead(rows, policy),
        "snapshot_age_s": (FRESH_S + SCHEDULER_EVERY_S) / 2,
        "spread": float(np.mean(spread)) if spread else 0.0,
    }


def _claimed(rows: Rows) -> tuple[list[float], list[float | None]]:
    """Unix time of acceptance and of the claim, by request."""
    at = [request.accepted_at.timestamp() for request, _ in rows]
    return at, [tried.started_at.timestamp() if tried else None for _, tried in rows]


def hand_over(at: Sequence[float], started: Sequence[float | None]) -> float:
    """See above; seconds of acceptance and of the claim, by request."""
    began = sorted(start for start in started if start is not None)
    took = [
        start - came
        for came, start in zip(at, started, strict=True)
        if start is not None and bisect_left(at, came) <= bisect_right(began, came)
    ]
    return max(0.0, quantiles(took, n=10, method="inclusive")[0]) if len(took) > 1 else 0.0


def paces(rows: Rows, policy: Policy, family: Family) -> list[float | None]:
    """By request, the time of its steps over what the profile gives them, as a part of its latency; none where they
    were not timed, or of a size that was not profiled."""
    known = {level.id: level for profile in policy.cluster.profiles.values() for level in profile.levels}
    return [
        round(_pace(tried, known[tried.level]), 4)
        if tried and tried.step_s and tried.level in known and _as_profiled(request, tried, family)
        else None
        for request, tried in rows
    ]


def _as_profiled(request: Request, tried: Attempt, family: Family) -> bool:
    usual = (request.width, request.height) == (family.defaults.width, family.defaults.height)
    return usual and tried.parallel is None


def _pace(tried: Attempt, level: LevelProfile) -> float:
    step_s, steps = tried.step_s or 0.0, tried.steps_run or 0
    ran = Timing(level.id, step_s, step_s, steps, tried.batch_mean or 1.0, 0.0)
    steps_share = 1 - _outside_steps(level) / level.latency_s
    return 1 + steps_share * (step_s * steps / expected_s(level, ran) - 1)


def overhead(rows: Rows, policy: Policy) -> float:
    """See above; the profile's is its time alone less that of its steps."""
    known = {level.id: _outside_steps(level) for p in policy.cluster.profiles.values() for level in p.levels}
    found = [
        (request.stored_at - tried.started_at).total_seconds()
        - tried.denoise_s
        - (tried.wait_s or 0.0)
        - known[tried.level]
        for request, tried in rows
        if tried and request.stored_at and tried.denoise_s and tried.level in known and request.attempts == 1
    ]
    return max(0.0, median(found)) if found else 0.0


def _outside_steps(level: LevelProfile) -> float:
    if not (level.batch and level.steps):
        return level.encode_s + level.decode_s
    return max(0.0, level.latency_s - level.batch[0].step_s * (level.steps - level.skipped_steps))


def _corrections(session: Session, family: Family, since: datetime) -> list[tuple[float, dict[str, Any]]]:
    """What the plans of the run, and the one before it, knew of each type of device: from when on, and what."""
    made = select(Plan.created_at, Plan.observed).where(plans_of(family), Plan.observed.has_key("corrections"))
    before = session.execute(made.where(Plan.created_at < since).order_by(Plan.epoch.desc()).limit(1)).all()
    during = session.execute(made.where(Plan.created_at >= since).order_by(Plan.epoch)).all()
    return [(round((at - since).total_seconds(), 3), known["corrections"]) for at, known in [*before, *during]]


def _history(session: Session, family: Family, since: datetime) -> list[int]:
    """Requests in each second before the run that the forecast was made of, from the first one on."""
    at = float(int(since.timestamp()))
    counts = arrivals(session, family, 1.0, at - Demand.LOOK_BACK_S, at)
    first = next((second for second, count in enumerate(counts) if count), len(counts))
    return counts[first:]
