"""What simulated workers did and when, for a trace: read off the system after each event.

A request's slice begins when it joins a batch and ends when it leaves it; one that gave up its slot has a slice for
each time it had one. Workers that draw it together have a slice each.
"""

from __future__ import annotations

from typing import Any

from core.chrome_trace import Schedule, Slice, Tick
from scheduler.simulate.planning import Planning
from scheduler.simulate.system import System
from scheduler.simulate.worker import DONE, Running, SimWorker


class Recorder:
    """Call it after each event of a run; `schedule()` has what it saw."""

    def __init__(self) -> None:
        self.slices: list[Slice] = []
        self.ticks: list[Tick] = []
        self.waiting: list[tuple[float, dict[str, int]]] = []
        self.levels: tuple[str, ...] = ()
        self._open: dict[int, dict[int, tuple[float, Running]]] = {}  # by worker and request's place in memory
        self._loading: dict[int, float] = {}  # until when, by worker

    def __call__(self, system: System, planning: Planning) -> None:
        self.levels = tuple(system.policy.levels)
        for worker in system.workers:
            self._batch(system, worker)
            self._load(system, worker)
        if len(planning.solve_s) > len(self.ticks):
            plan = system.epoch.plan
            self.ticks.append(Tick(system.now, len(planning.solve_s), {"status": plan.status}))
        counts = {model: len(queue) for model, queue in system.waiting.items()}
        counts["no longer in time"] = len(system.background)
        if not self.waiting or counts != self.waiting[-1][1]:
            self.waiting.append((system.now, counts))

    def schedule(self) -> Schedule:
        return Schedule(self.slices, self.ticks, self.waiting, self.levels)

    def _batch(self, system: System, worker: SimWorker) -> None:
        draws = [*worker.batch, worker.joined] if worker.joined else worker.batch
        before, now = self._open.get(worker.id, {}), {id(running): running for running in draws}
        for key, (start, running) in before.items():
            if key not in now:
                self.slices.append(_slice(system, worker, start, running))
        self._open[worker.id] = {key: before.get(key, (system.now, running)) for key, running in now.items()}

    def _load(self, system: System, worker: SimWorker) -> None:
        if worker.ready_at > system.now and self._loading.get(worker.id) != worker.ready_at:
            self._loading[worker.id] = worker.ready_at
            name = f"load {worker.model}"
            self.slices.append(Slice(worker.device, _name(worker), system.now, worker.ready_at, name))


def _slice(system: System, worker: SimWorker, start: float, running: Running) -> Slice:
    request, levels = running.request, system.policy.levels
    i, drawn = int(request.id), running.drawn
    done = running.left <= DONE
    args: dict[str, Any] = {
        **{"request": i, "prompt": request.key, "deadline": round(request.deadline, 6)},
        **{"finished": done, "late": system.now > request.deadline + DONE},
        "predicted_quality": round(float(system.known[i][drawn]), 4),
        "true_quality": round(float(system.work.truth[system.work.rows[i]][drawn]), 4),
    }
    if running.ranks > 1:
        args |= {"parallel": running.mode, "ranks": running.ranks}
    if running.leader not in (None, worker.id):  # the request's own slice is its leader's
        args = {"request": i, "led_by": f"worker {running.leader}", "parallel": running.mode, "ranks": running.ranks}
        return Slice(worker.device, _name(worker), start, system.now, levels[drawn], levels[drawn], args)
    if running.level != drawn:
        args["started_at"] = levels[running.level]
    if running.background:
        args["background"] = True
    return Slice(worker.device, _name(worker), start, system.now, levels[drawn], levels[drawn], args)


def _name(worker: SimWorker) -> str:
    return f"worker {worker.id}"
