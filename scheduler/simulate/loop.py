"""The event loop. One screen says what happens: arrive, finish, tick, ready, fail; each ends by feeding workers."""

from __future__ import annotations

import heapq
import math
import time
from bisect import insort
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from core.errors import BadInput
from core.profiles import Profile
from scheduler.control.remap import Seat, seatings
from scheduler.observation.forecast import Forecaster
from scheduler.policies import Cluster, Epoch, Observation, Policy, Request, Scene, Worker, get
from scheduler.simulate.report import Outcome, Report, report
from scheduler.simulate.worker import Row, SimWorker
from scheduler.simulate.workload import Workload

SAMPLE = 256  # recent requests that a plan is made for
DRAIN_S = 3600.0  # how long after the last arrival the run goes on for what still waits


@dataclass(frozen=True)
class SimConfig:
    """One run. `workers` by device type, as in `profiles`; times in seconds.

    `load_s` by level replaces the profile's load times for policies whose variants are models. `failures` are (at, which
    worker, for how long); what a dead worker ran is found `stale_s` later. `history` holds the requests in each second before
    the run, which the forecaster has seen, as live it reads the rows of the past hours.
    """

    policy: str
    profiles: Mapping[str, Profile]
    workers: Mapping[str, int]
    slo_s: float
    tick_s: float = 10.0
    seed: int = 0
    floor: float = 0.0
    load_s: Mapping[str, float] = field(default_factory=dict)
    switch_cost: float = 0.0
    dwell_s: float = 60.0
    failures: tuple[tuple[float, int, float], ...] = ()
    stale_s: float = 15.0
    batch_window_s: float = 86_400.0
    history: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not sum(self.workers.values()):
            raise BadInput("a simulation needs at least one worker", field="workers")
        for name, value in (("slo", self.slo_s), ("tick", self.tick_s)):
            if not (math.isfinite(value) and value > 0):
                raise BadInput(f"{name} must be above 0, not {value}", field=name)


def simulate(config: SimConfig, work: Workload, policy: Policy | None = None) -> Report:
    """Run one policy over a workload. `policy` takes the place of `config.policy` where given (ablations)."""
    return _Run(config, work, policy).report()


class _Run:
    def __init__(self, config: SimConfig, work: Workload, policy: Policy | None) -> None:
        self.config, self.work = config, work
        self.policy = policy or get(config.policy, Cluster(config.profiles, config.slo_s, seed=config.seed))
        self.cluster = self.policy.cluster
        self.levels, self.index = self.cluster.levels, self.policy.index
        self.latency = {d: self.cluster.latency(d) for d in config.profiles}
        self.seconds = {d: self.cluster.seconds(d) for d in config.profiles}
        self.crowded = {d: self.cluster.crowded(d) for d in config.profiles}
        self.places = {d: self._places(p) for d, p in config.profiles.items()}
        self.known = work.truth if self.policy.clairvoyant else work.predicted
        self.quality = [tuple(row) for row in self.known.tolist()]
        self.truth = work.truth.tolist()
        self.forecaster = Forecaster()
        for ago, requests in zip(range(len(config.history), 0, -1), config.history, strict=True):
            self.forecaster.observe(-float(ago), 1.0, requests)
        self.events: list[tuple[float, int, str, tuple]] = []
        self.serial = 0
        self.now = 0.0
        self.waiting: dict[str, list[tuple[Request, str]]] = {m: [] for m in self.cluster.models}
        self.background: deque[tuple[Request, Row | None]] = deque()
        self.outcomes: list[Outcome | None] = [None] * len(work.times)
        self.rows = work.rows.tolist()
        self.recent: deque[int] = deque(maxlen=SAMPLE)
        self.scores: deque[float] = deque(maxlen=SAMPLE)
        self.routed: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.switches = self.evictions = 0
        self.solve_s: list[float] = []
        self.workers: list[SimWorker] = []
        self.epoch = self._first_epoch()

    # -- the run ----------------------------------------------------------------------------------------------------

    def report(self) -> Report:
        started = time.process_time()
        self._run()
        outcomes = [o or self._lost(i) for i, o in enumerate(self.outcomes)]
        ticks = {
            "count": len(self.solve_s),
            "statuses": dict(self.statuses),
            "plan_ms_max": 1000 * max(self.solve_s),
            "switches": self.switches,
            "evictions": self.evictions,
        }
        taken = time.process_time() - started
        return report(self.policy.name, outcomes, self.levels, self.work.duration_s, taken, ticks=ticks)

    def _run(self) -> None:
        times = self.work.times.tolist()
        end = self.work.duration_s + DRAIN_S
        self._at(self.config.tick_s, "tick")
        for at, which, for_s in self.config.failures:
            self._at(at, "fail", which, for_s)
        second, counted, i = 1.0, 0, 0
        while True:
            arrival = times[i] if i < len(times) else math.inf
            at = min(arrival, self.events[0][0] if self.events else math.inf)
            if at > end or (i == len(times) and not self._busy()):
                return
            while second <= at:
                self.forecaster.observe(second - 1.0, 1.0, counted)
                second, counted = second + 1.0, 0
            self.now = at
            if arrival <= at:
                counted += not self.work.batch[i]
                self._arrive(i, arrival)
                i += 1
            else:
                _, _, kind, what = heapq.heappop(self.events)
                getattr(self, f"_{kind}")(*what)

    def _busy(self) -> bool:
        return bool(self.background) or any(self.waiting.values()) or any(w.rows for w in self.workers)

    def _at(self, when: float, kind: str, *what: object) -> None:
        self.serial += 1
        heapq.heappush(self.events, (when, self.serial, kind, what))

    # -- events -----------------------------------------------------------------------------------------------------

    def _arrive(self, i: int, arrived: float) -> None:
        row = self.rows[i]
        batch = bool(self.work.batch[i])
        window = self.config.batch_window_s if batch else self.config.slo_s
        request = Request(
            id=i,
            key=self.work.prompts[row],
            arrived=arrived,
            deadline=arrived + window,
            quality=self.quality[row],
            floor=self.config.floor,
            similarity=float(self.work.similarity[i]),
            batch=batch,
        )
        if batch:
            self.background.append((request, None))
            self._feed_all()
            return
        self.recent.append(row)
        self._queue(request, self.policy.route(request, self.epoch, self._scene()))

    def _queue(self, request: Request, level: str) -> None:
        model = self.cluster.holds(level)
        self.routed[level] += 1
        self._wait(request, level)
        self._yield_background(model)
        self._feed_model(model)

    def _finish(self, worker: SimWorker, version: int) -> None:
        if version != worker.version:
            return
        for row in worker.finished(self.now):
            self._done(row)
        self._feed(worker)

    def _ready(self, worker: SimWorker) -> None:
        self._feed(worker)

    def _tick(self) -> None:
        self._at(self.now + self.config.tick_s, "tick")
        self._plan()

    def _fail(self, which: int, for_s: float) -> None:
        worker = self.workers[which % len(self.workers)]
        lost, worker.rows = worker.rows, []
        worker.alive = False
        worker.version += 1
        self._at(self.now + self.config.stale_s, "found_dead", lost)
        self._at(self.now + for_s, "back", worker)

    def _found_dead(self, lost: list[Row]) -> None:
        self._plan()
        for row in lost:
            if row.background:
                self.background.append((row.request, None))
            else:
                self._queue(row.request, self.policy.route(row.request, self.epoch, self._scene()))

    def _back(self, worker: SimWorker) -> None:
        worker.alive = True
        worker.ready_at = self.now + self._load_s(worker.device, "", worker.model)
        self._at(worker.ready_at, "ready", worker)
        self._plan()

    # -- plan -------------------------------------------------------------------------------------------------------

    def _first_epoch(self) -> Epoch:
        """Before the first request: workers hold what the first minute's rate asks for."""
        if self.policy.clairvoyant:
            self.policy.foretell(self.work.times, self.work.truth[self.work.rows])  # type: ignore[attr-defined]
        first = (self.work.times < 60) & ~self.work.batch
        rate = float(np.count_nonzero(first)) / min(60.0, self.work.duration_s)
        epoch = self._decide(rate, 0.0, {device: {} for device in self.config.workers})
        for device, n in self.config.workers.items():
            models = [m for m, k in epoch.plan.workers.get(device, {}).items() for _ in range(k)]
            models += [next(iter(self.waiting))] * (n - len(models))
            for model in models[:n]:
                self.workers.append(SimWorker(len(self.workers), device, model, self.places[device][model]))
        return epoch

    def _decide(self, rate: float, error: float, current: Mapping[str, Mapping[str, int]]) -> Epoch:
        alive = Counter(w.device for w in self.workers if w.alive) or Counter(self.config.workers)
        seen = Observation(
            now=self.now,
            rate=rate,
            error=error,
            sample=self.known[list(self.recent)],
            floors=np.full(len(self.recent), self.config.floor),
            waiting=Counter(level for queue in self.waiting.values() for _, level in queue),
            workers=dict(alive),
            current=current,
            pinned=self._pinned(),
            tick_s=self.config.tick_s,
            switch_cost=self.config.switch_cost,
            scores=np.array(self.scores),
        )
        epoch = self.policy.plan(seen)
        self.statuses[epoch.plan.status] += 1
        self.solve_s.append(epoch.plan.seconds)
        return epoch

    def _plan(self) -> None:
        current: dict[str, Counter[str]] = {d: Counter() for d in self.config.workers}
        alive = [w for w in self.workers if w.alive]
        if not alive:
            return
        for w in alive:
            current[w.device][w.wanted or w.model] += 1
        forecast = self.forecaster.ahead(self.config.tick_s)
        self.epoch = self._decide(forecast.rate, forecast.error, {d: c for d, c in current.items() if c})
        self.routed.clear()
        self._remap(alive)
        self._realign()
        self._feed_all()

    def _pinned(self) -> dict[str, dict[str, int]]:
        """Workers that changed less than the dwell time ago, where changing costs anything."""
        pinned: dict[str, Counter[str]] = {}
        for w in self.workers:
            if w.alive and self.now - w.changed_at < self.config.dwell_s:
                pinned.setdefault(w.device, Counter())[w.wanted or w.model] += 1
        return {d: dict(c) for d, c in pinned.items()}

    def _remap(self, alive: list[SimWorker]) -> None:
        """Busy workers keep their place where they can: idle ones change at once."""
        seats = [Seat(str(w.id), w.device, w.wanted or w.model) for w in sorted(alive, key=lambda w: -len(w.rows))]
        for key, model in seatings(seats, self.epoch.plan.workers).items():
            worker = self.workers[int(key)]
            worker.wanted = model if model != worker.model else ""
            self._change(worker)

    def _change(self, worker: SimWorker) -> None:
        """Once its rows are done, a worker loads the model it is wanted for."""
        if not worker.wanted or worker.rows:
            return
        load = self._load_s(worker.device, worker.model, worker.wanted)
        if load:
            self.switches += 1
            worker.changed_at = self.now
        worker.model, worker.wanted = worker.wanted, ""
        worker.places = self.places[worker.device][worker.model]
        worker.ready_at = self.now + load
        self._at(worker.ready_at, "ready", worker)

    def _load_s(self, device: str, old: str, new: str) -> float:
        """Seconds to load: none between levels that share weights, unless the policy's variants are models."""
        profile = self.config.profiles[device]
        if self.policy.variants and self.config.load_s:
            return self.config.load_s.get(new, 0.0)
        weights = {m: profile.level(self.levels[ids[0]]) for m, ids in self.cluster.models.items()}
        same = old and weights[old].holds == weights[new].holds
        return 0.0 if same else weights[new].load_s

    def _realign(self) -> None:
        waiting = sorted((pair for queue in self.waiting.values() for pair in queue), key=_deadline)
        if not waiting:
            return
        for queue in self.waiting.values():
            queue.clear()
        for (request, _), level in zip(waiting, self.policy.realign(waiting, self.epoch, self._scene()), strict=True):
            self._wait(request, level)

    # -- queues and workers -----------------------------------------------------------------------------------------

    def _wait(self, request: Request, level: str) -> None:
        insort(self.waiting[self.cluster.holds(level)], (request, level), key=_deadline)

    def _scene(self, model: str = "") -> Scene:
        serving = Counter(w.model for w in self.workers if w.alive and not w.wanted)
        busy = {model: sum(w.busy_s(self.now) for w in self.workers if w.model == model)} if model else {}
        waiting = {m: len(queue) for m, queue in self.waiting.items()}
        return Scene(self.now, self.forecaster.rate, waiting, serving, busy, self.routed, self.forecaster.dispersion)

    def _feed_all(self) -> None:
        for worker in self.workers:
            self._feed(worker)

    def _feed_model(self, model: str) -> None:
        """Offer the queue to the workers of a model, emptiest first."""
        able = [w for w in self.workers if w.model == model and w.has_room(self.now)]
        for worker in sorted(able, key=lambda w: len(w.rows)):
            if self.waiting[model]:
                self._feed(worker)

    def _feed(self, worker: SimWorker) -> None:
        """Start what the policy admits while there is room; background work where nothing waits."""
        if worker.wanted:
            self._change(worker)
        before = worker.version
        while worker.has_room(self.now) and self._admit(worker):
            pass
        if worker.rows and (worker.version != before or worker.at == self.now):
            self._at(worker.next_finish(), "finish", worker, worker.version)

    def _admit(self, worker: SimWorker) -> bool:
        queue = self.waiting[worker.model]
        if not queue:
            return not worker.rows and self._start_background(worker)
        who = Worker(str(worker.id), worker.device, worker.model, len(worker.rows))
        admission = self.policy.admit(who, queue, self.epoch, self._scene(worker.model))
        chosen = None if admission.place is None else queue[admission.place][0]
        for place in sorted(admission.taken, reverse=True):
            request, _ = queue.pop(place)
            if request is not chosen:
                self.background.append((request, None))
        if chosen is None:
            return not queue and not worker.rows and self._start_background(worker)
        self._start(worker, chosen, self.index[admission.level])
        return True

    def _start(self, worker: SimWorker, request: Request, level: int, background: bool = False) -> None:
        """A row joins the batch; batch work beside an interactive one makes way."""
        if not background:
            self._park(worker)
        latency, crowded = self.latency[worker.device][level], self.crowded[worker.device][level]
        drag = (crowded / latency - 1) / max(1, worker.places - 1)
        row = Row(request, level, latency, latency, self.seconds[worker.device][level], drag, background)
        worker.change(self.now, lambda rows: rows.append(row))

    def _start_background(self, worker: SimWorker) -> bool:
        """Batch class and set-aside requests fill a worker that has nothing else, at the best level it holds."""
        if not self.background:
            return False
        request, parked = self.background.popleft()
        if parked is None or parked.level not in self.cluster.models[worker.model]:
            best = max(self.cluster.models[worker.model], key=lambda i: request.quality[i])
            self._start(worker, request, best, background=True)
        else:
            worker.change(self.now, lambda rows: rows.append(parked))
        return True

    def _yield_background(self, model: str) -> None:
        """A newcomer that finds no room takes the place of background work, which keeps its latent and waits."""
        mine = [w for w in self.workers if w.model == model]
        if any(w.has_room(self.now) for w in mine):
            return
        for worker in mine:
            if self._park(worker):
                return

    def _park(self, worker: SimWorker) -> bool:
        """Take the background rows out of a batch; whether there were any."""
        parked = [row for row in worker.rows if row.background]
        if parked:
            worker.change(self.now, lambda rows: rows.__setitem__(slice(None), [r for r in rows if not r.background]))
            self.background.extendleft((row.request, row) for row in parked)
            self.evictions += len(parked)
        return bool(parked)

    def _done(self, row: Row) -> None:
        request, level = row.request, self.levels[row.level]
        score = self.truth[self.rows[int(request.id)]][row.level]
        if not row.background:
            self.scores.append(score)
            better = self.policy.finished(request, level, score, self.epoch, self._scene())
            if better:
                again = replace(request, attempt=request.attempt + 1)
                self._queue(again, better)
                return
        self.outcomes[int(request.id)] = Outcome(
            request.arrived, request.deadline, self.now, score, level, request.batch
        )

    def _lost(self, i: int) -> Outcome:
        batch = bool(self.work.batch[i])
        at = float(self.work.times[i])
        window = self.config.batch_window_s if batch else self.config.slo_s
        return Outcome(at, at + window, math.inf, 0.0, "", batch)

    def _places(self, profile: Profile) -> dict[str, int]:
        """Rows that a worker runs at once, by model."""
        return {m: profile.level(self.levels[ids[0]]).rows for m, ids in self.cluster.models.items()}


def _deadline(pair: tuple[Request, str]) -> float:
    return pair[0].deadline
