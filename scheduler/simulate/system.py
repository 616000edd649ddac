"""The simulated system: workers, queues, forecaster, plan in force, and what policies are shown of it."""

from __future__ import annotations

from bisect import insort
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from core.profiles import LevelProfile, Profile
from scheduler.control.decide import Situation, WorkerState
from scheduler.observation.forecast import Forecaster
from scheduler.policies import Cluster, Epoch, LoadState, Policy, Request, make_policy
from scheduler.simulate.cache_hits import CacheHits
from scheduler.simulate.config import SimConfig
from scheduler.simulate.events import Events
from scheduler.simulate.worker import Running, SimWorker
from scheduler.simulate.workload import Workload

SAMPLE = 256  # recent requests that a plan is made for
Waiting = tuple[Request, str]  # with the level it was routed to


class System:
    """State that the parts of a run share.

    `waiting` are queues by model, earliest deadline first; `background` is batch work and what can no longer be in
    time, with what was preempted of it.
    """

    epoch: Epoch

    def __init__(self, config: SimConfig, work: Workload, policy: Policy | None) -> None:
        self.config, self.work, self.floors = config, work, work.floors
        self.cluster = _cluster(config, config.profiles)
        self.policy = policy or make_policy(config.policy, self.cluster)
        if policy is None:
            self.policy.admission_control = config.admission_control
        self.cluster = self.policy.cluster
        self._believed = config.profiles
        self.events = Events()
        self.cache = CacheHits(self.cluster, work, config.any_hit)
        self.known = self.cache.shown(work.truth if self.policy.clairvoyant else work.predicted)
        self.forecaster = Forecaster()
        for ago, requests in zip(range(len(config.history), 0, -1), config.history, strict=True):
            self.forecaster.observe(-float(ago), 1.0, requests)
        self.waiting: dict[str, list[Waiting]] = {m: [] for m in self.cluster.models}
        self.background: deque[tuple[Request, Running | None]] = deque()
        self.unreachable: set[int | str] = set()  # requests whose deadline no level could meet
        self.recent: deque[int] = deque(maxlen=SAMPLE)
        self.scores: dict[str, deque[float]] = {level: deque(maxlen=SAMPLE) for level in self.cluster.levels}
        self.routed: Counter[str] = Counter()
        self.workers: list[SimWorker] = []
        self.handed_over = 0  # requests on their way from the router to a queue
        normal = np.random.default_rng([config.seed, 5]).normal(size=len(work.times))
        drawn, paces = np.exp(config.spread * normal), work.paces
        lasts = drawn if paces is None else np.where(np.isnan(paces), drawn, paces)
        self.lasts: list[float] = lasts.tolist()  # times the profile's, by request
        self._seen: LoadState | None = None

    @property
    def now(self) -> float:
        return self.events.now

    @property
    def busy(self) -> bool:
        waiting = bool(self.background or self.handed_over) or any(self.waiting.values())
        return waiting or any(w.batch for w in self.workers)

    def learn(self) -> None:
        """From now on the policy takes the profiles for what was known of them by now."""
        known = [profiles for at, profiles in self.config.believed if at <= self.now][-1:]
        if known and known[0] is not self._believed:
            self._believed = known[0]
            self.policy = self.policy.renewed(_cluster(self.config, self._believed))

    def enqueue(self, request: Request, level: str) -> None:
        insort(self.waiting[self.cluster.holds(level)], (request, level), key=deadline_of)

    def batch(self) -> list[Request]:
        """Batch work that waits for idle capacity, earliest deadline first."""
        mine = [request for request, _ in self.background if request.batch and request.id not in self.unreachable]
        return sorted(mine, key=lambda request: request.deadline)

    def all_waiting(self) -> list[Waiting]:
        return sorted((pair for queue in self.waiting.values() for pair in queue), key=deadline_of)

    def load(self) -> LoadState:
        """The load as those who decide see it: as it was up to `snapshot_age_s` ago, with the clock of now."""
        if self._seen is None or self.now - self._seen.now >= self.config.snapshot_age_s:
            self._seen = self.load_now()
            return self._seen
        return replace(self._seen, now=self.now)

    def load_now(self) -> LoadState:
        serving = Counter(w.model for w in self.workers if w.alive and not w.wanted)
        busy: dict[str, float] = {}
        for worker in self.workers:
            busy[worker.model] = busy.get(worker.model, 0.0) + worker.busy_s(self.now)
        waiting = {m: len(queue) for m, queue in self.waiting.items()}
        return LoadState(
            self.now, self.forecaster.coming, waiting, serving, busy, self.routed, self.forecaster.dispersion
        )

    def situation(self, rate: float, error: float, workers: Sequence[WorkerState]) -> Situation:
        waiting = self.all_waiting()
        return Situation(
            rate=rate,
            error=error,
            sample=self.known[list(self.recent)],
            floors=np.array([self.floor(i) for i in self.recent], float),
            queued=Counter(level for _, level in waiting),
            waiting=waiting,
            workers=workers,
            load=self.load_now(),
            tick_s=self.config.tick_s,
            scores={level: list(scores) for level, scores in self.scores.items()},
            batch=[(request, "") for request in self.batch()],
        )

    def floor(self, i: int) -> float:
        """The least quality that a request takes."""
        return self.config.floor if self.floors is None else float(self.floors[i])

    def runs(self, device: str, held: str) -> bool:
        """Whether a type of device can run anything of what a worker holds."""
        return held in self._weights(device)

    def first_model(self, device: str) -> str:
        """A model that workers of this type can hold; any where there is none."""
        return next(iter([m for m in self.waiting if self.runs(device, m)] or self.waiting))

    def load_s(self, device: str, old: str, new: str) -> float:
        """Seconds to load, as measured with the throughputs: none between levels that share weights, and none where all
        models are in memory.
        """
        if self.cluster.all_fit:
            return 0.0
        weights = self._weights(device)
        before, after = weights.get(old), weights.get(new)
        if after is None or (before is not None and before.holds == after.holds):
            return 0.0
        return after.load_s

    def _weights(self, device: str) -> dict[str, LevelProfile]:
        """The first level of each model that a type of device can run."""
        found: dict[str, LevelProfile] = {}
        for level in self.config.profiles[device].levels:
            found.setdefault(self.cluster.holds(level.id), level)
        return found


def _cluster(config: SimConfig, profiles: Mapping[str, Profile]) -> Cluster:
    memory = {device: profile.memory_mb for device, profile in profiles.items() if profile.memory_mb}
    return Cluster(profiles, config.slo_s, memory=memory)


def deadline_of(pair: Waiting) -> float:
    return pair[0].deadline
