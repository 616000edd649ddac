"""What a live run was, for the simulator to run again.

`python -m bench.live.record FAMILY SINCE FILE` in the environment of a running Argus writes it.

Arrivals are those of the server (`accepted_at`), and so are lateness and latencies: what a client waits until it is
answered is not the scheduler's. Profiles are as the plan in force at the end corrected them, with what a request takes
besides its steps. Losses that no profile has are read off the same rows:

- `hand_over_s`: from acceptance until a free worker has claimed it, the first decile of all.
- `spread`: standard deviation of the logarithm of service times, from the ninth decile that the corrections know.
- `overhead_s`: from claim to stored image outside the steps and the wait for them, the median over requests, beyond
  what the profile has of it.
- `snapshot_age_s`: how old the load is that decisions go by: not read off, but half of how often it is read.
"""

from __future__ import annotations

import gzip
import json
import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.database import transaction
from core.families import load_family
from core.profiles import LevelProfile
from core.settings import settings
from core.tables import Attempt, Job, Request
from scheduler.observation import queries
from scheduler.observation.readings import SCHEDULER_EVERY_S
from scheduler.observation.snapshot import FRESH_S, SnapshotReader, quality_of
from scheduler.policies import Policy

Rows = Sequence[tuple[Request, Attempt | None]]  # each with its first attempt
TITLE = "bench.live"  # of the jobs that are the run
NINTH = 1.2816  # standard deviations from the median to the ninth decile


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


def record(session: Session, family_id: str, since: datetime) -> Kept:
    """The run whose requests were accepted from `since` on; those before it are the forecast's past."""
    family = load_family(family_id)
    reader = SnapshotReader(family)
    snapshot = reader.snapshot(session, fresh=True)
    policy = snapshot.policy
    if policy is None:
        raise RuntimeError(f"no worker of {family_id} is ready: there is no profile to record")
    before = session.scalars(select(Request.accepted_at).where(Request.accepted_at < since)).all()
    rows = _rows(session, since)
    memory = queries.memory_by_type(snapshot.workers)
    profiles = [
        profile.model_copy(update={"memory_mb": memory.get(d, 0.0)}) for d, profile in policy.cluster.profiles.items()
    ]
    about = {
        **{"family": family.id, "policy": policy.name, "tick_s": settings().tick_s, "levels": list(policy.levels)},
        "slo_s": median((request.deadline_at - request.accepted_at).total_seconds() for request, _ in rows),
        "workers": dict(Counter(worker.device_type for worker in snapshot.workers)),
        "profiles": [profile.model_dump(mode="json") for profile in profiles],
        "history": per_second([(since - at).total_seconds() for at in before]),
        "losses": losses(rows, policy),
    }
    return Kept(about, _requests(rows, policy, since))


def _rows(session: Session, since: datetime) -> Rows:
    wanted = select(Request, Attempt).join(Job).where(Request.accepted_at >= since, Job.title == TITLE)
    first = wanted.outerjoin(Attempt, (Attempt.request_id == Request.id) & (Attempt.number == 1))
    found = session.execute(first.order_by(Request.accepted_at)).all()
    return [(request, attempt) for request, attempt in found]


def _requests(rows: Rows, policy: Policy, since: datetime) -> dict[str, list[Any]]:
    def after(time: datetime | None) -> float | None:
        return None if time is None else round((time - since).total_seconds(), 4)

    return {
        "at": [after(request.accepted_at) for request, _ in rows],
        "prompt": [request.prompt for request, _ in rows],
        "qualities": [[round(q, 4) for q in quality_of(request, policy)] for request, _ in rows],
        "similarity": [round((tried and tried.cache_similarity) or 0.0, 4) for _, tried in rows],
        "level": [request.level if request.stored_at else None for request, _ in rows],
        "started": [after(tried.started_at if tried else None) for _, tried in rows],
        "stored": [after(request.stored_at) for request, _ in rows],
        "late": [request.stored_at is None or request.stored_at > request.deadline_at for request, _ in rows],
    }


def losses(rows: Rows, policy: Policy) -> dict[str, float]:
    """See above."""
    claimed = [(tried.started_at - request.accepted_at).total_seconds() for request, tried in rows if tried]
    ratios = {level.id: level.p90_ratio for p in policy.cluster.profiles.values() for level in p.levels}
    spread = [math.log(ratios.get(tried.level, 1.0)) / NINTH for _, tried in rows if tried]
    return {
        "hand_over_s": max(0.0, quantiles(claimed, n=10)[0]) if len(claimed) > 1 else 0.0,
        "overhead_s": overhead(rows, policy),
        "snapshot_age_s": (FRESH_S + SCHEDULER_EVERY_S) / 2,
        "spread": float(np.mean(spread)) if spread else 0.0,
    }


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


def per_second(ago: Sequence[float]) -> list[int]:
    """Requests in each second before the run, the oldest first."""
    counts = Counter(int(seconds) for seconds in ago)
    return [counts[second] for second in range(max(counts, default=-1), -1, -1)]


def main(words: Sequence[str]) -> None:
    family, since, out = words
    with transaction() as session:
        record(session, family, datetime.fromisoformat(since)).write(Path(out))


if __name__ == "__main__":
    main(sys.argv[1:])
