"""The state of the system as policies want it: cluster, plan in force, load. Made of the readings that all share.

The router, the tick and every worker's admission see the same rows through this, so the same policy code runs in the
simulator and in all of them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import structlog
from sqlalchemy.orm import Session

from core.families import Family, load_family
from core.settings import settings
from core.tables import ServiceClass
from scheduler.observation import queries
from scheduler.observation.calibration import Correction, corrected
from scheduler.observation.queries import LiveWorker
from scheduler.observation.queue_estimate import OwnMoves, QueueEstimate, queues_of
from scheduler.observation.readings import KEPT_S, Readings, SharedReadings
from scheduler.observation.stored_plan import corrections_in_force, corrections_of, epoch_of
from scheduler.policies import Cluster, Epoch, LoadState, Policy, Request, make_policy

log = structlog.get_logger(__name__)
LEAST = 0.01  # quality
FRESH_S = 0.5  # a snapshot is used for so long; the readings in it are up to a second older


@dataclass(frozen=True)
class Snapshot:
    """What is true now. Without a profile there is no policy, without a plan in force no epoch."""

    workers: tuple[LiveWorker, ...]
    policy: Policy | None
    epoch: Epoch | None
    load: LoadState
    served: frozenset[str]  # levels that a live worker consumes
    readings: Readings
    read_at: float = field(default_factory=time.monotonic)

    def is_served(self, level: str | None) -> bool:
        """Whether somebody serves this level; while there is nobody at all, every level counts as served."""
        return level in self.served or not self.served


class SnapshotReader:
    """Reads snapshots of one family, for one policy."""

    def __init__(self, family: Family, policy: str | None = None) -> None:
        self.family = family
        self.name = policy or settings().policy
        self._shared = SharedReadings(family)
        self.demand = self._shared.demand
        self._kept: Snapshot | None = None
        self._anew = False
        self._own = OwnMoves()
        self._policy: Policy | None = None
        self._plan: tuple[int, Epoch | None, Mapping[str, Correction]] = (0, None, {})
        self._routed: Counter[str] = Counter()
        self._queues: dict[str, QueueEstimate] = {}

    def snapshot(self, session: Session, fresh: bool = False) -> Snapshot:
        """The newest snapshot; read from the rows when it must be `fresh`."""
        kept = self._kept
        if fresh or kept is None or time.monotonic() - kept.read_at > FRESH_S:
            self._kept = kept = self._read(session, fresh or self._anew)
            self._anew = False
        return kept

    def invalidate(self) -> None:
        """Something has changed that decisions must know of: the next snapshot is read anew, here and elsewhere."""
        self._kept, self._anew = None, True
        self._shared.forget()

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
        self._own.note(level, started=False)
        if self._kept is not None and (queue := self._queues.get(_holds(self.family, self._kept.policy, level))):
            queue.routed()

    def count_started(self, level: str) -> None:
        """A request was started by this process: what it takes of its model counts at once."""
        self._own.note(level, started=True)
        if self._kept is None:
            return
        if queue := self._queues.get(_holds(self.family, self._kept.policy, level)):
            queue.started(self.seconds(level))

    def seconds(self, level: str) -> float:
        """Worker-seconds that a request takes at a level, by the newest snapshot; 0 where no profile says."""
        return _seconds(self._kept.policy if self._kept else None, level)

    @property
    def policy(self) -> Policy | None:
        """The policy as last read."""
        return self._policy

    def policy_for(
        self, workers: Sequence[LiveWorker], corrections: Mapping[str, Correction], target_s: float
    ) -> Policy | None:
        """The policy over the profiles of these workers' devices, corrected by live timings; none without profiles."""
        measured = queries.profiles(self.family, [worker.device_type for worker in workers])
        if not measured:
            return None
        known = {
            device: corrected(profile, corrections.get(device, Correction())) for device, profile in measured.items()
        }
        cluster = Cluster(known, target_s, memory=queries.memory_by_type(workers))
        if self._policy is None:
            self._policy = make_policy(self.name, cluster)
        elif replace(self._policy.cluster, shared=True) != cluster:
            self._policy = self._policy.renewed(cluster)
        return self._policy

    def corrections(self, session: Session) -> dict[str, Correction]:
        """What the plan in force, whoever made it, knew of each type of device."""
        return corrections_in_force(session, self.family)

    def model_of(self, worker: LiveWorker, policy: Policy | None) -> str | None:
        """What this worker counts as holding: its first model; its level, where a policy has one level a worker; all
        models, where it has memory for them, although it may have to load some yet.
        """
        if policy is not None and policy.shared and policy.cluster.all_fit:
            return policy.cluster.holds(policy.levels[0])
        if policy is None or policy.shared:
            return worker.models[0] if worker.models else None
        levels = [level for level in policy.levels if self.family.queue(level) in worker.queues]
        return levels[0] if len(levels) == 1 else None

    # -- reading ----------------------------------------------------------------------------------------------------

    def _read(self, session: Session, anew: bool) -> Snapshot:
        found = self._shared.read(session) if anew else self._shared.newest(session)
        self._read_plan(session, found)
        _, epoch, corrections = self._plan
        policy = self.policy_for(found.workers, corrections, found.target_s)
        load = self._load(found, policy)
        consumed = {queue for worker in found.workers for queue in worker.queues}
        served = frozenset(level for level in self.family.levels if self.family.queue(level) in consumed)
        return Snapshot(found.workers, policy, epoch if policy is not None else None, load, served, found)

    def _read_plan(self, session: Session, found: Readings) -> None:
        """The plan in force, parsed once; one that another policy made is not ours to follow."""
        if not found.epoch or found.policy != self.name:
            self._plan = (0, None, {})
        elif found.epoch != self._plan[0]:
            decided, observed = self._shared.plan(session, found.epoch)
            self._plan = (found.epoch, epoch_of(found.epoch, decided), corrections_of(observed))
            self._routed.clear()

    def _load(self, found: Readings, policy: Policy | None) -> LoadState:
        busy_s = {level: n * _seconds(policy, level) / 2 for level, n in found.running.items()}  # half done, on average
        ahead = Counter(_by_model(self.family, policy, found.running))
        ahead.update(_by_model(self.family, policy, found.waiting))
        busy = _by_model(self.family, policy, busy_s)
        holding = Counter((worker.device_type, self.model_of(worker, policy)) for worker in found.workers)
        read_at = min(time.time(), max(found.at, time.time() - KEPT_S))  # clocks of machines differ
        self._queues = {
            model: replace(queue, ahead=ahead[model], busy_s=busy.get(model, 0.0), at=read_at)
            for model, queue in queues_of(policy, holding).items()
        }
        for level, started in self._own.since(read_at):  # is not in the readings
            if queue := self._queues.get(_holds(self.family, policy, level)):
                queue.started(_seconds(policy, level)) if started else queue.routed()
        known = {model: queue.waiting for model, queue in self._queues.items()}
        return LoadState(
            now=time.time(),
            rate=found.rate,
            waiting={model: int(n) for model, n in ahead.items()} | known,
            workers=_workers_by_model(holding),
            busy_s=busy,
            routed=self._routed,
            dispersion=found.dispersion,
        )


def able(row: Any, level: str) -> bool:
    """Whether a level can draw what a row asks for: with LoRAs, not every model can."""
    return not row.loras or load_family(settings().family).draws(level, row.loras)


def floor_of(row: Any) -> float:
    """The least quality that a row accepts; with LoRAs a little, as levels that cannot draw with them have none."""
    return row.min_quality or (LEAST if row.loras else 0.0)


def as_request(row: Any, quality: Sequence[float], similarity: float = 0.0) -> Request:
    """A row of `request`, or its columns that decide, as policies see it; times are Unix seconds."""
    return Request(
        id=str(row.id),
        key=row.prompt,
        arrived=row.accepted_at.timestamp(),
        deadline=row.deadline_at.timestamp(),
        quality=tuple(quality),
        floor=floor_of(row),
        similarity=similarity,
        batch=row.service_class == ServiceClass.BATCH,
        attempt=row.attempts,
    )


def quality_of(row: Any, policy: Policy) -> tuple[float, ...]:
    """What was predicted for a row when it was routed; the profile's means where nothing was, none at levels that
    cannot draw it."""
    known = row.qualities or {}
    return tuple(known.get(level, mean) if able(row, level) else 0.0 for level, mean in _means(policy))


@lru_cache(maxsize=4)
def _means(policy: Policy) -> tuple[tuple[str, float], ...]:
    """Levels and their mean quality, in order."""
    return tuple(zip(policy.levels, policy.cluster.quality, strict=True))


def _seconds(policy: Policy | None, level: str) -> float:
    """Worker-seconds that a request takes at a level on the fastest type of device."""
    if policy is None or level not in policy.index:
        return 0.0
    return min(policy.cluster.seconds(device)[policy.index[level]] for device in policy.cluster.profiles)


def _workers_by_model(holding: Mapping[tuple[str, str | None], int]) -> Counter[str]:
    """Workers by what they hold, of all types of device."""
    found: Counter[str] = Counter()
    for (_, model), n in holding.items():
        if model:
            found[model] += n
    return found


def _by_model(family: Family, policy: Policy | None, by_level: Mapping[str, float]) -> dict[str, float]:
    found: dict[str, float] = {}
    for level, amount in by_level.items():
        model = _holds(family, policy, level)
        found[model] = found.get(model, 0) + amount
    return found


def _holds(family: Family, policy: Policy | None, level: str) -> str:
    """What a worker holds to serve a level, as the policy counts it: the model, or the level itself."""
    known = policy is not None and level in policy.index
    return policy.cluster.holds(level) if policy and known else family.level(level).model
