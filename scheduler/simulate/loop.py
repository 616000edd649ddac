"""The event loop: pop, set the clock, handle, until nothing is left to do."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scheduler.policies import Policy, Request
from scheduler.simulate.config import SimConfig
from scheduler.simulate.dispatch import Dispatch
from scheduler.simulate.planning import Planning
from scheduler.simulate.report import Outcome, Report, gang_figures, report
from scheduler.simulate.schedule import Recorder
from scheduler.simulate.system import System
from scheduler.simulate.worker import Running, SimWorker
from scheduler.simulate.workload import Workload

DRAIN_S = 3600.0  # how long after the last arrival the run goes on for what still waits


def simulate(
    config: SimConfig, work: Workload, policy: Policy | None = None, recorder: Recorder | None = None
) -> Report:
    """Run one policy over a workload. `policy` takes the place of `config.policy` where given (ablations)."""
    return _Run(config, work, policy, recorder).report()


def simulate_outcomes(config: SimConfig, work: Workload) -> list[Outcome]:
    """What became of each request of a run, in the order of the workload."""
    run = _Run(config, work, None)
    run.report()
    return [outcome or _lost(config, work, i) for i, outcome in enumerate(run.outcomes)]


class _Run:
    """One method an event: arrive, claimable, finish, ready, look, tick, fail, found_dead, back."""

    def __init__(
        self, config: SimConfig, work: Workload, policy: Policy | None, recorder: Recorder | None = None
    ) -> None:
        self.config, self.work = config, work
        self.record = recorder or _nothing
        self.system = System(config, work, policy)
        self.planning = Planning(self.system)
        self.dispatch = Dispatch(self.system, self.planning)
        self.events = self.system.events
        self.quality = [tuple(row) for row in self.system.known.tolist()]
        self.truth = work.truth.tolist()
        self.rows = work.rows.tolist()
        self.outcomes: list[Outcome | None] = [None] * len(work.times)

    def report(self) -> Report:
        started = time.process_time()
        policy = self.system.policy
        if policy.clairvoyant:
            policy.foretell(self.work.times, self.system.known)  # type: ignore[attr-defined]
        self.planning.start()
        self.record(self.system, self.planning)
        self._run()
        outcomes = [o or _lost(self.config, self.work, i) for i, o in enumerate(self.outcomes)]
        taken = time.process_time() - started
        rest: dict[str, Any] = {"ticks": _ticks(self), "gangs": _gangs(self, outcomes)}
        return report(policy.name, outcomes, policy.levels, self.work.duration_s, taken, **rest)

    def _run(self) -> None:
        times, end = self.work.times.tolist(), self.work.duration_s + DRAIN_S
        self.events.at(self.config.tick_s, "tick")
        self.events.at(self.config.look_s or math.inf, "look")
        for at, which, for_s in self.config.failures:
            self.events.at(at, "fail", which, for_s)
        second, counted, i = 1.0, 0, 0
        while True:
            arrival = times[i] if i < len(times) else math.inf
            at = min(arrival, self.events.next_at)
            if at > end or (i == len(times) and not self.system.busy):
                return
            while second <= at:
                self.system.forecaster.observe(second - 1.0, 1.0, self.dispatch.fairness.demand(counted))
                second, counted = second + 1.0, 0
            self.events.now = at
            if arrival <= at:
                counted += not self.work.batch[i]
                self._arrive(i, arrival)
                i += 1
            else:
                kind, what = self.events.pop()
                getattr(self, f"_{kind}")(*what)
            self.record(self.system, self.planning)

    def _arrive(self, i: int, arrived: float) -> None:
        batch = bool(self.work.batch[i])
        request = Request(
            id=i,
            key=self.work.prompts[self.rows[i]],
            arrived=arrived,
            deadline=arrived + _window(self.config, self.work, i),
            quality=self.quality[i],
            floor=self.system.floor(i),
            similarity=float(self.work.similarity[i]),
            batch=batch,
            lengths=self.work.lengths_of(i),
            tenant=self.work.tenants[i] if self.work.tenants else "",
        )
        self.dispatch.fairness.arrived(request)
        if batch:
            self.system.background.append((request, None))
            self.dispatch.feed_all()
            return
        self.system.recent.append(i)
        self._route(request)

    def _route(self, request: Request) -> None:
        system = self.system
        level = system.policy.route(request, system.epoch, system.load())
        if not self.config.hand_over_s:
            self.dispatch.queue(request, level)
            return
        system.handed_over += 1
        self.events.at(self.events.now + self.config.hand_over_s, "claimable", request, level)

    def _claimable(self, request: Request, level: str) -> None:
        self.system.handed_over -= 1
        self.dispatch.queue(request, level)

    def _finish(self, worker: SimWorker, version: int) -> None:
        if version != worker.version:
            return
        for running in worker.finished(self.events.now):
            self._done(running)
        self.dispatch.freed(worker)

    def _ready(self, worker: SimWorker) -> None:
        self.dispatch.feed(worker)

    def _look(self) -> None:
        self.events.at(self.events.now + self.config.look_s, "look")
        self.dispatch.pause_all()

    def _tick(self) -> None:
        self.events.at(self.events.now + self.config.tick_s, "tick")
        self.planning.tick()
        self.dispatch.feed_all()

    def _fail(self, which: int, for_s: float) -> None:
        worker = self.system.workers[which % len(self.system.workers)]
        lost, worker.batch, worker.paused = worker.batch + worker.paused, [], []
        worker.alive = False
        worker.version += 1
        self.dispatch.feed_all(self.dispatch.gangs.lost(worker))
        self.events.at(self.events.now + self.config.stale_s, "found_dead", lost)
        self.events.at(self.events.now + for_s, "back", worker)

    def _found_dead(self, lost: list[Running]) -> None:
        self.planning.tick()
        self.dispatch.feed_all()
        for running in lost:
            if running.background:
                self.system.background.append((running.request, None))
            else:
                self._route(running.request)

    def _back(self, worker: SimWorker) -> None:
        worker.alive = True
        worker.ready_at = self.events.now + self.system.load_s(worker.device, "", worker.model)
        self.events.at(worker.ready_at, "ready", worker)
        self.planning.tick()
        self.dispatch.feed_all()

    def _done(self, running: Running) -> None:
        system = self.system
        request, level = running.request, system.policy.levels[running.level]
        score = self.truth[self.rows[int(request.id)]][running.drawn]
        if not running.background:
            system.scores[level].append(score)
            better = system.policy.finished(request, level, score, system.epoch, system.load())
            if better:
                self.dispatch.queue(replace(request, attempt=request.attempt + 1), better)
        # what is drawn again replaces this; where that is given up, this is the answer
        stored, drawn = self.events.now + self.config.overhead_s, system.policy.levels[running.drawn]
        self.outcomes[int(request.id)] = Outcome(
            request.arrived, request.deadline, stored, score, drawn, request.batch, running.ranks
        )


def _ticks(run: _Run) -> dict[str, Any]:
    return {
        "count": len(run.planning.solve_s),
        "statuses": dict(run.planning.statuses),
        "plan_ms_max": 1000 * max(run.planning.solve_s),
        "switches": run.planning.switches,
        "evictions": run.dispatch.evictions,
        "pauses": run.dispatch.pauses,
    }


def _gangs(run: _Run, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What workers drew together, where they may."""
    gangs = run.dispatch.gangs
    return gang_figures(outcomes, gangs.formed, gangs.broken) if run.config.gangs else {}


def _lost(config: SimConfig, work: Workload, i: int) -> Outcome:
    """What became of a request that was never served."""
    batch, at = bool(work.batch[i]), float(work.times[i])
    return Outcome(at, at + _window(config, work, i), math.inf, 0.0, "", batch)


def _window(config: SimConfig, work: Workload, i: int) -> float:
    if work.batch[i]:
        return config.batch_window_s
    return config.slo_s if work.target_s is None else float(work.target_s[i])


def _nothing(system: System, planning: Planning) -> None:
    """Instead of a recorder."""
