"""The simulated tick: the live tick's decision (`scheduler.control.decide`), carried out on simulated workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from scheduler.control.decide import Decision, Situation, WorkerState, decide
from scheduler.simulate.system import System
from scheduler.simulate.worker import SimWorker


class Planning:
    """Ticks of one run. `statuses` and `solve_s` are the planner's, `switches` counts models loaded."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.statuses: Counter[str] = Counter()
        self.solve_s: list[float] = []
        self.switches = 0

    def start(self) -> None:
        """Before the first request: workers hold what the rate until then asks for, as live; where there is no history,
        what that of the first minute does."""
        system = self.system
        system.learn()
        first = (system.work.times < 60) & ~system.work.batch
        rate = float(np.count_nonzero(first)) / min(60.0, system.work.duration_s)
        rate = system.forecaster.rate if system.config.history else rate
        devices = [device for device, n in system.config.workers.items() for _ in range(n)]
        decision = self._decide(
            system.situation(rate, 0.0, [WorkerState(str(i), d, None) for i, d in enumerate(devices)])
        )
        for i, device in enumerate(devices):
            model = decision.models.get(str(i)) or system.first_model(device)
            system.workers.append(SimWorker(i, device, model, system.runs(device, model)))

    def tick(self) -> None:
        """Observe, forecast, plan, re-align, remap."""
        system = self.system
        alive = [worker for worker in system.workers if worker.alive]
        if not alive:
            return
        system.learn()
        forecast = system.forecaster.ahead(system.config.tick_s)
        situation = system.situation(forecast.rate, forecast.error, self._states(alive))
        decision = self._decide(situation)
        system.routed.clear()
        self._realign(situation, decision.levels)
        self._start_urgent(situation, decision.urgent)
        self._remap(alive, decision.models)

    def _decide(self, situation: Situation) -> Decision:
        decision = decide(self.system.policy, situation)
        self.system.epoch = decision.epoch
        self.statuses[decision.epoch.plan.status] += 1
        self.solve_s.append(decision.epoch.plan.seconds)
        return decision

    def _states(self, alive: Sequence[SimWorker]) -> list[WorkerState]:
        """Busy workers first: those keep what they hold where they can, idle ones change at once."""
        return [
            WorkerState(str(w.id), w.device, w.planned, self._loaded_s(w), self._loads(w))
            for w in sorted(alive, key=lambda w: -len(w.batch))
        ]

    def _loaded_s(self, worker: SimWorker) -> float:
        """Seconds since it began to load; one that is to load when its batch is done counts as loading now."""
        return 0.0 if self._waits(worker) else self.system.now - worker.loaded_at

    def _loads(self, worker: SimWorker) -> bool:
        return worker.ready_at > self.system.now or self._waits(worker)

    def _waits(self, worker: SimWorker) -> bool:
        """Whether it is to load a model once its batch is done."""
        return bool(worker.wanted and self.system.load_s(worker.device, worker.model, worker.wanted))

    def _realign(self, situation: Situation, levels: Sequence[str]) -> None:
        for queue in self.system.waiting.values():
            queue.clear()
        for (request, _), level in zip(situation.waiting, levels, strict=True):
            self.system.enqueue(request, level)

    def _start_urgent(self, situation: Situation, levels: Mapping[int, str]) -> None:
        """Batch work that would miss its window waits with the interactive requests."""
        wanted = {situation.batch[i][0].id: level for i, level in levels.items()}
        kept = [pair for pair in self.system.background if pair[0].id not in wanted]
        for i, level in levels.items():
            self.system.enqueue(situation.batch[i][0], level)
        self.system.background.clear()
        self.system.background.extend(kept)

    def _remap(self, alive: Sequence[SimWorker], models: Mapping[str, str]) -> None:
        for worker in alive:
            model = models.get(str(worker.id), worker.planned)
            worker.wanted = model if model != worker.model else ""
            self.change(worker)

    def change(self, worker: SimWorker) -> None:
        """Once its batch is done, and what it draws with others, a worker loads the model it is wanted for."""
        if not worker.wanted or worker.batch or worker.joined is not None:
            return
        system = self.system
        load_s = system.load_s(worker.device, worker.model, worker.wanted)
        if load_s:
            self.switches += 1
            worker.loaded_at = system.now
        worker.model, worker.wanted = worker.wanted, ""
        worker.able = system.runs(worker.device, worker.model)
        worker.ready_at = system.now + load_s
        system.events.at(worker.ready_at, "ready", worker)
