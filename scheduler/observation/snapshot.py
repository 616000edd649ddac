"""The moment, as policies want it: cluster, plan in force, scene. Read from PostgreSQL, kept for a second.

The router, the tick and every worker's admission look at the same rows through this, so the same policy code runs in
the simulator and in all of them.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from core import tables
from core.families import Family
from core.profiles import Profile
from core.settings import settings
from core.similarity import cosine_for
from core.tables import Request as Row
from core.tables import ServiceClass
from scheduler.observation import queries as observe
from scheduler.observation.calibration import Correction, corrected
from scheduler.observation.queries import Demand, LiveWorker
from scheduler.policies import Cluster, Epoch, Policy, Request, Scene, get
from scheduler.prediction.cache_lookup import nearest
from scheduler.prediction.model import REMEMBERED, Features, Predictor
from scheduler.prediction.store import in_force, table_of, version_in_force

log = structlog.get_logger(__name__)
FRESH_S = 1.0  # a moment is used for so long
PREDICTOR_S = 30.0  # how often a newer predictor is looked for


@dataclass(frozen=True)
class Moment:
    """What is true now. Without a profile there is no policy, without a plan in force no epoch."""

    workers: tuple[LiveWorker, ...]
    policy: Policy | None
    epoch: Epoch | None
    scene: Scene
    served: frozenset[str]  # levels that a live worker consumes
    at: float = field(default_factory=time.monotonic)

    def open(self, level: str | None) -> bool:
        """Whether somebody serves this level; with nobody there at all, all are as good."""
        return level in self.served or not self.served


@dataclass
class Pool:
    """Requests of one model and the places they run at, between two looks at the rows.

    What is routed comes in at once; what workers have done since is taken off as fast as the profile says. `ahead` counts
    those that run, too: as long as there are free places nobody waits.
    """

    places: int
    per_s: float
    ahead: float = 0.0
    at: float = field(default_factory=time.monotonic)

    def with_ahead(self, ahead: float) -> Pool:
        return replace(self, ahead=ahead)

    def add(self) -> int:
        """One more is routed; returns how many wait now."""
        now = time.monotonic()
        self.ahead = max(0.0, self.ahead - self.per_s * (now - self.at)) + 1
        self.at = now
        return self.waiting

    @property
    def waiting(self) -> int:
        return max(0, math.ceil(self.ahead - self.places))


class Live:
    """Reads moments of one family, for one policy."""

    def __init__(self, family: Family, policy: str | None = None) -> None:
        self.family = family
        self.name = policy or settings().policy
        self.demand = Demand(family)
        self.quality = Qualities(family)
        self._kept: Moment | None = None
        self._plan: tuple[int, Epoch | None, Mapping[str, Correction]] = (0, None, {})
        self._done: Counter[str] = Counter()
        self._pools: dict[str, Pool] = {}

    def moment(self, session: Session, fresh: bool = False) -> Moment:
        """The moment, at most a second old unless it must be `fresh`."""
        kept = self._kept
        if fresh or kept is None or time.monotonic() - kept.at > FRESH_S:
            self._kept = kept = self._read(session)
        return kept

    def forget(self) -> None:
        """Something has changed that is worth a fresh look: the next moment is read anew."""
        self._kept = None

    def note(self, level: str) -> None:
        """A request was routed: it counts at once, not when the rows are next read."""
        if self._kept is None:
            return
        self._done[level] += 1
        model, scene = self.held(level), self._kept.scene
        pool = self._pools.get(model)
        waiting = pool.add() if pool else scene.waiting.get(model, 0) + 1
        scene.waiting = {**scene.waiting, model: waiting}

    def held(self, level: str) -> str:
        """What a worker holds to serve a level, as the policy counts it: the model, or the level itself."""
        policy = self._kept.policy if self._kept else None
        known = policy is not None and level in policy.index
        return policy.cluster.holds(level) if policy and known else self.family.level(level).model

    def policy_for(self, device_types: Sequence[str], corrections: Mapping[str, Correction]) -> Policy | None:
        """The policy over the profiles of these device types, corrected by what was seen live; none without profiles."""
        measured = observe.profiles(self.family, device_types)
        if not measured:
            return None
        known = {
            device: corrected(profile, corrections.get(device, Correction())) for device, profile in measured.items()
        }
        return _policy(self.name, tuple(sorted(known.items())), slo_s(measured, self.family), settings().seed)

    def _read(self, session: Session) -> Moment:
        workers = tuple(observe.live_workers(session, self.family))
        self._read_plan(session)
        _, epoch, corrections = self._plan
        policy = self.policy_for([worker.device_type for worker in workers], corrections)
        scene = self._scene(session, workers, policy)
        served = frozenset(level for level in self.family.levels if _is_served(self.family, level, workers))
        return Moment(workers, policy, epoch if policy is not None else None, scene, served)

    def _read_plan(self, session: Session) -> None:
        """The plan in force, parsed once; one that another policy made is not ours to follow."""
        query = select(tables.Plan.epoch, tables.Plan.policy).where(tables.Plan.in_force)
        newest = session.execute(query.order_by(tables.Plan.epoch.desc()).limit(1)).first()
        if newest is None or newest.policy != self.name:
            self._plan = (0, None, {})
        elif newest.epoch != self._plan[0]:
            row = session.get_one(tables.Plan, newest.epoch)
            epoch = Epoch.from_json({**row.decided, "number": newest.epoch})
            self._plan = (newest.epoch, epoch, _corrections(row.observed))
            self._done.clear()

    def corrections(self, session: Session) -> dict[str, Correction]:
        """What the plan in force, whoever made it, knew of each type of device."""
        newest = select(tables.Plan.observed).where(tables.Plan.in_force).order_by(tables.Plan.epoch.desc()).limit(1)
        return _corrections(session.scalar(newest) or {})

    def _scene(self, session: Session, workers: Sequence[LiveWorker], policy: Policy | None) -> Scene:
        def by_model(levels: Mapping[str, float]) -> dict[str, float]:
            found: dict[str, float] = {}
            for level, amount in levels.items():
                key = (
                    policy.cluster.holds(level) if policy and level in policy.index else self.family.level(level).model
                )
                found[key] = found.get(key, 0) + amount
            return found

        running = observe.running_by_level(session, self.family)
        busy = {level: n * _half(policy, level) for level, n in running.items()}
        ahead = Counter(by_model(running)) + Counter(by_model(observe.waiting_by_level(session, self.family)))
        self._pools = {model: pool.with_ahead(ahead[model]) for model, pool in self._places(workers, policy).items()}
        waiting = {model: int(n) for model, n in ahead.items()} | {m: pool.waiting for m, pool in self._pools.items()}
        return Scene(
            now=time.time(),
            rate=self.demand.rate(session),
            waiting=waiting,
            workers=Counter(held for worker in workers if (held := self.holding(worker, policy))),
            busy_s=by_model(busy),
            done=self._done,
            dispersion=self.demand.forecaster.dispersion,
        )

    def _places(self, workers: Sequence[LiveWorker], policy: Policy | None) -> dict[str, Pool]:
        """The workers of each model, as far as profiles know them."""
        found: dict[str, Pool] = {}
        for worker in workers:
            held = self.holding(worker, policy)
            profile = policy.cluster.profiles.get(worker.device_type) if policy else None
            levels = [lv for lv in profile.levels if policy.cluster.holds(lv.id) == held] if profile and policy else []
            if held and levels:
                before = found.get(held, Pool(0, 0.0))
                speed = max(level.requests_per_minute for level in levels) / 60
                found[held] = Pool(before.places + levels[0].rows, before.per_s + speed)
        return found

    def holding(self, worker: LiveWorker, policy: Policy | None) -> str | None:
        """What this worker counts as holding: its first model; its level, where a policy has one level a worker."""
        if policy is None or policy.shared:
            return worker.models[0] if worker.models else None
        levels = [level for level in policy.levels if self.family.queue(level) in worker.queues]
        return levels[0] if len(levels) == 1 else None


class Qualities:
    """Predicted relative quality of prompts, by the predictor in force; level means stand in without one."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.features, self.sentences = Features.of(family), Features()
        self._predictor: tuple[Predictor | None, dict[str, np.ndarray]] = (None, {})  # and what it said of prompts (L,)
        self._version: int | None = None
        self._looked = -PREDICTOR_S

    def look(self, session: Session) -> None:
        """Take up a newer predictor, when it is time to look."""
        if time.monotonic() - self._looked >= PREDICTOR_S:
            newest = version_in_force(session, self.family)
            if newest != self._version:
                self._predictor, self._version = (in_force(session, self.family), {}), newest
            self._looked = time.monotonic()

    def of(self, rows: Sequence[Row], policy: Policy) -> tuple[np.ndarray, np.ndarray]:
        """Quality (N, L), columns in the order of `policy.levels`, and cosine to the nearest cached prompt (N).

        The reference level has 1. A level that starts from a cached latent is worth nothing to a prompt that has no
        neighbour near enough: it would run in full, and cost what `exact` costs.
        """
        prompts = [row.prompt for row in rows]
        means = dict(zip(policy.levels, policy.cluster.quality, strict=True))
        table = table_of(self.family)
        means.update({level: mean for level, mean in (table.means if table else {}).items() if level in means})
        predictor, known = self._predictor
        columns = dict(zip(predictor.levels, self._said(predictor, known, prompts).T, strict=True)) if predictor else {}
        columns[self.family.reference] = np.ones(len(prompts))
        quality = np.column_stack([columns.get(level, np.full(len(prompts), means[level])) for level in policy.levels])
        return self._as_cached(rows, quality, policy)

    def _said(self, predictor: Predictor, known: dict[str, np.ndarray], prompts: Sequence[str]) -> np.ndarray:
        """Predicted means (N, L); a prompt that came before is not predicted again."""
        if missing := [prompt for prompt in dict.fromkeys(prompts) if prompt not in known]:
            known.update(zip(missing, predictor.expect(self.features(missing)), strict=True))
        said = np.stack([known[prompt] for prompt in prompts])
        if len(known) > REMEMBERED:
            known.clear()
        return said

    def _as_cached(self, rows: Sequence[Row], quality: np.ndarray, policy: Policy) -> tuple[np.ndarray, np.ndarray]:
        steps = self.family.defaults.steps
        shares = {level.id: level.skip / steps for level in self.family.levels.values() if level.strategy == "ac"}
        cached = [(i, shares[level]) for i, level in enumerate(policy.levels) if level in shares]
        similarity = nearest(self.family, rows, self.sentences) if cached else np.zeros(len(rows))
        for i, share in cached:
            quality[similarity <= cosine_for(share), i] = 0.0
        return quality, similarity


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


def slo_s(measured: Mapping[str, Profile], family: Family) -> float:
    """The latency target in seconds: as set, else a multiple of the reference level's on the slowest device type."""
    exact = [
        profile.level(family.reference).latency_s for profile in measured.values() if family.reference in profile.ids
    ]
    return settings().slo_s or settings().slo_factor * max(exact, default=20.0)


@lru_cache(maxsize=4)
def _policy(name: str, profiles: tuple[tuple[str, Profile], ...], target_s: float, seed: int) -> Policy:
    return get(name, Cluster(dict(profiles), target_s, seed=seed))


def _corrections(observed: Mapping[str, Any]) -> dict[str, Correction]:
    return {device: Correction(**parts) for device, parts in observed.get("corrections", {}).items()}


def _half(policy: Policy | None, level: str) -> float:
    """Worker-seconds that a running request still needs, on average."""
    if policy is None or level not in policy.index:
        return 0.0
    return min(policy.cluster.seconds(device)[policy.index[level]] for device in policy.cluster.profiles) / 2


def _is_served(family: Family, level: str, workers: Sequence[LiveWorker]) -> bool:
    return any(family.queue(level) in worker.queues for worker in workers)
