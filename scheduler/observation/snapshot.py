"""The state of the system as policies want it: cluster, plan in force, load. Read from PostgreSQL, kept for a second.

The router, the tick and every worker's admission read the same rows through this, so the same policy code runs in the
simulator and in all of them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from core import tables
from core.families import Family
from core.settings import settings
from core.tables import Request as Row
from core.tables import ServiceClass
from scheduler.observation import queries
from scheduler.observation.calibration import Correction, corrected
from scheduler.observation.queries import Demand, LiveWorker
from scheduler.observation.queue_estimate import QueueEstimate, queues_of
from scheduler.observation.stored_plan import corrections_of, epoch_of, plans_of
from scheduler.observation.target import latency_target_s
from scheduler.policies import Cluster, Epoch, LoadState, Policy, Request, make_policy

log = structlog.get_logger(__name__)
FRESH_S = 1.0  # a snapshot is used for so long


@dataclass(frozen=True)
class Snapshot:
    """What is true now. Without a profile there is no policy, without a plan in force no epoch."""

    workers: tuple[LiveWorker, ...]
    policy: Policy | None
    epoch: Epoch | None
    load: LoadState
    served: frozenset[str]  # levels that a live worker consumes
    read_at: float = field(default_factory=time.monotonic)

    def is_served(self, level: str | None) -> bool:
        """Whether somebody serves this level; while there is nobody at all, every level counts as served."""
        return level in self.served or not self.served


class SnapshotReader:
    """Reads snapshots of one family, for one policy."""

    def __init__(self, family: Family, policy: str | None = None) -> None:
        self.family = family
        self.name = policy or settings().policy
        self.demand = Demand(family)
        self._kept: Snapshot | None = None
        self._policy: Policy | None = None
        self._plan: tuple[int, Epoch | None, Mapping[str, Correction]] = (0, None, {})
        self._routed: Counter[str] = Counter()
        self._queues: dict[str, QueueEstimate] = {}

    def snapshot(self, session: Session, fresh: bool = False) -> Snapshot:
        """The newest snapshot, at most a second old unless it must be `fresh`."""
        kept = self._kept
        if fresh or kept is None or time.monotonic() - kept.read_at > FRESH_S:
            self._kept = kept = self._read(session)
        return kept

    def invalidate(self) -> None:
        """Something has changed that decisions must know of: the next snapshot is read anew."""
        self._kept = None

    def load_now(self, snapshot: Snapshot) -> LoadState:
        """The snapshot's load, brought up to now: the clock, and what was routed, started and done since.

        Deadlines are checked against `LoadState.now`: with targets of a second or two, the clock of a snapshot that is
        a second old would let requests start that cannot be in time.
        """
        now = time.time()
        for queue in list(self._queues.values()):
            queue.advance(now)
        waiting = {model: queue.waiting for model, queue in self._queues.items()}
        busy_s = {model: queue.busy_s for model, queue in self._queues.items()}
        load = snapshot.load
        return replace(load, now=now, waiting={**load.waiting, **waiting}, busy_s={**load.busy_s, **busy_s})

    def count_routed(self, level: str, by_policy: bool = True) -> None:
        """A request was routed: it counts at once, not when the rows are next read.

        Args:
            by_policy: whether the policy chose the level; one that was asked for waits too, but is not the plan's.
        """
        if by_policy:
            self._routed[level] += 1
        if self._kept is not None and (queue := self._queues.get(self._holds(self._kept.policy, level))):
            queue.routed()

    def count_started(self, level: str) -> None:
        """A request was started by this process: what it takes of its model counts at once."""
        if self._kept is None:
            return
        if queue := self._queues.get(self._holds(self._kept.policy, level)):
            queue.started(self.seconds(level))

    def seconds(self, level: str) -> float:
        """Worker-seconds that a request takes at a level, by the newest snapshot; 0 where no profile says."""
        return _seconds(self._kept.policy if self._kept else None, level)

    def policy_for(
        self, device_types: Sequence[str], corrections: Mapping[str, Correction], target_s: float
    ) -> Policy | None:
        """The policy over the profiles of these device types, corrected by live timings; none without profiles."""
        measured = queries.profiles(self.family, device_types)
        if not measured:
            return None
        known = {
            device: corrected(profile, corrections.get(device, Correction())) for device, profile in measured.items()
        }
        cluster = Cluster(known, target_s)
        if self._policy is None:
            self._policy = make_policy(self.name, cluster)
        elif replace(self._policy.cluster, shared=True) != cluster:
            self._policy = self._policy.renewed(cluster)
        return self._policy

    def corrections(self, session: Session) -> dict[str, Correction]:
        """What the plan in force, whoever made it, knew of each type of device."""
        in_force = select(tables.Plan.observed).where(tables.Plan.in_force, plans_of(self.family))
        newest = in_force.order_by(tables.Plan.epoch.desc()).limit(1)
        return corrections_of(session.scalar(newest) or {})

    def model_of(self, worker: LiveWorker, policy: Policy | None) -> str | None:
        """What this worker counts as holding: its first model; its level, where a policy has one level a worker."""
        if policy is None or policy.shared:
            return worker.models[0] if worker.models else None
        levels = [level for level in policy.levels if self.family.queue(level) in worker.queues]
        return levels[0] if len(levels) == 1 else None

    # -- reading ----------------------------------------------------------------------------------------------------

    def _read(self, session: Session) -> Snapshot:
        workers = tuple(queries.live_workers(session, self.family))
        self._read_plan(session)
        _, epoch, corrections = self._plan
        target_s = latency_target_s(session, self.family)
        policy = self.policy_for([worker.device_type for worker in workers], corrections, target_s)
        load = self._load(session, workers, policy)
        served = frozenset(level for level in self.family.levels if _is_served(self.family, level, workers))
        return Snapshot(workers, policy, epoch if policy is not None else None, load, served)

    def _read_plan(self, session: Session) -> None:
        """The plan in force, parsed once; one that another policy made is not ours to follow."""
        query = select(tables.Plan.epoch, tables.Plan.policy).where(tables.Plan.in_force, plans_of(self.family))
        newest = session.execute(query.order_by(tables.Plan.epoch.desc()).limit(1)).first()
        if newest is None or newest.policy != self.name:
            self._plan = (0, None, {})
        elif newest.epoch != self._plan[0]:
            row = session.get_one(tables.Plan, newest.epoch)
            self._plan = (newest.epoch, epoch_of(newest.epoch, row.decided), corrections_of(row.observed))
            self._routed.clear()

    def _load(self, session: Session, workers: Sequence[LiveWorker], policy: Policy | None) -> LoadState:
        running = queries.running_by_level(session, self.family)
        busy_s = {level: n * _seconds(policy, level) / 2 for level, n in running.items()}  # half done, on average
        ahead = Counter(self._by_model(policy, running))
        ahead.update(self._by_model(policy, queries.waiting_by_level(session, self.family)))
        busy = self._by_model(policy, busy_s)
        now = time.time()
        self._queues = {
            model: replace(queue, ahead=ahead[model], busy_s=busy.get(model, 0.0), at=now)
            for model, queue in queues_of(policy, [(w.device_type, self.model_of(w, policy)) for w in workers]).items()
        }
        known = {model: queue.waiting for model, queue in self._queues.items()}
        return LoadState(
            now=now,
            rate=self.demand.rate(session),
            waiting={model: int(n) for model, n in ahead.items()} | known,
            workers=Counter(model for worker in workers if (model := self.model_of(worker, policy))),
            busy_s=busy,
            routed=self._routed,
            dispersion=self.demand.forecaster.dispersion,
        )

    def _by_model(self, policy: Policy | None, by_level: Mapping[str, float]) -> dict[str, float]:
        found: dict[str, float] = {}
        for level, amount in by_level.items():
            model = self._holds(policy, level)
            found[model] = found.get(model, 0) + amount
        return found

    def _holds(self, policy: Policy | None, level: str) -> str:
        """What a worker holds to serve a level, as the policy counts it: the model, or the level itself."""
        known = policy is not None and level in policy.index
        return policy.cluster.holds(level) if policy and known else self.family.level(level).model


def as_request(row: Row, quality: Sequence[float], similarity: float = 0.0) -> Request:
    """A row as policies see it; times are Unix seconds."""
    return Request(
        id=str(row.id),
        key=row.prompt,
        arrived=row.accepted_at.timestamp(),
        deadline=row.deadline_at.timestamp(),
        quality=tuple(quality),
        floor=row.min_quality or 0.0,
        similarity=similarity,
        batch=row.service_class == ServiceClass.BATCH,
        attempt=row.attempts,
    )


def quality_of(row: Row, policy: Policy) -> tuple[float, ...]:
    """What was predicted for a row when it was routed; the profile's means where nothing was."""
    known = row.qualities or {}
    return tuple(known.get(level, mean) for level, mean in _means(policy))


@lru_cache(maxsize=4)
def _means(policy: Policy) -> tuple[tuple[str, float], ...]:
    """Levels and their mean quality, in order."""
    return tuple(zip(policy.levels, policy.cluster.quality, strict=True))


def _seconds(policy: Policy | None, level: str) -> float:
    """Worker-seconds that a request takes at a level on the fastest type of device."""
    if policy is None or level not in policy.index:
        return 0.0
    return min(policy.cluster.seconds(device)[policy.index[level]] for device in policy.cluster.profiles)


def _is_served(family: Family, level: str, workers: Sequence[LiveWorker]) -> bool:
    return any(family.queue(level) in worker.queues for worker in workers)
