"""Who starts where: offers queues to workers with room, fills idle ones with background work, preempts that again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.profiles import Profile
from scheduler.policies import Request, Started, Worker
from scheduler.policies.background import OWED_AFTER, Owed, slows
from scheduler.policies.fairness import as_its_own
from scheduler.simulate.fairness import Fairness
from scheduler.simulate.gangs import Gangs
from scheduler.simulate.planning import Planning
from scheduler.simulate.system import System, Waiting
from scheduler.simulate.worker import DONE, Running, SimWorker


class Dispatch:
    """Keeps the workers of a run busy. `evictions` counts background requests that gave up a slot, `pauses` others."""

    def __init__(self, system: System, planning: Planning) -> None:
        self.system, self.planning = system, planning
        cluster = system.cluster
        self.takes_s = {d: _takes_s(profile, cluster.levels) for d, profile in system.config.profiles.items()}
        self.model_of = [cluster.model_of[level] for level in cluster.levels]
        self.seconds = {d: cluster.seconds(d) for d in system.config.profiles}
        self.evictions = self.pauses = 0
        self.owed: dict[int, Owed] = {}  # by worker
        self.fairness, self.gangs = Fairness(system), Gangs(system)

    def queue(self, request: Request, level: str) -> None:
        """A request waits at this level; a worker with room takes it at once."""
        model = self.system.cluster.holds(level)
        self.system.routed[level] += 1
        self.system.enqueue(request, level)
        self.fairness.set_aside()
        self._feed_model(model)
        if not self.system.config.look_s:
            self.pause(model)

    def freed(self, worker: SimWorker) -> None:
        """A request has ended: who was paused for it goes on, and others start, also where workers drew it together."""
        self.feed_all((worker, *self.gangs.ended(worker)))
        if not self.system.config.look_s:
            self.pause(worker.model)

    def feed_all(self, workers: Sequence[SimWorker] | None = None) -> None:
        """Start what can be on all workers, or on these."""
        for worker in self.system.workers if workers is None else workers:
            self.feed(worker)

    def pause_all(self) -> None:
        for model in self.system.waiting:
            self.pause(model)

    def feed(self, worker: SimWorker) -> None:
        """Start what the policy admits while there is room; background work where nothing waits."""
        now = self.system.now
        before = worker.version
        worker.resume(now)
        self._make_room(worker)
        if worker.wanted:
            self.planning.change(worker)
        while worker.has_room(now) and (self._start_owed(worker) or self._admit(worker)):
            pass
        if worker.batch and (worker.version != before or worker.at == now):
            self.system.events.at(worker.next_finish(), "finish", worker, worker.version)

    def _feed_model(self, model: str) -> None:
        """Offer the queue to the workers of a model, emptiest first."""
        able = [w for w in self.system.workers if w.model == model and w.has_room(self.system.now)]
        for worker in sorted(able, key=lambda w: len(w.batch)):
            if self.system.waiting[model]:
                self.feed(worker)

    def _admit(self, worker: SimWorker) -> bool:
        system = self.system
        queue = system.waiting[worker.model]
        if not queue:
            return not worker.batch and self._start_background(worker)
        if any(self._admit_of(worker, shown, share) for shown, share in self.fairness.in_turn(queue)):
            return True
        return not queue and not worker.batch and self._start_background(worker)

    def _admit_of(self, worker: SimWorker, shown: Sequence[Waiting], share: float) -> bool:
        """Start one of those that the policy is shown, a tenant's or all that wait."""
        system, queue = self.system, self.system.waiting[worker.model]
        asking = Worker(str(worker.id), worker.device, worker.model, _running(worker, system))
        load = system.load() if shown is queue else as_its_own(system.load(), worker.model, len(shown), share)
        admission = system.policy.admit(asking, shown, system.epoch, load)
        chosen = None if admission.start is None else shown[admission.start][0]
        for pair in [shown[index] for index in sorted(admission.removed, reverse=True)]:
            queue.remove(pair)
            if pair[0] is not chosen and not pair[0].attempt:  # one that was drawn before has its image
                system.background.append((pair[0], None))
                system.unreachable.add(pair[0].id)
        if chosen is not None:
            self._start(worker, chosen, system.policy.index[admission.level])
        return chosen is not None

    def _start(self, worker: SimWorker, request: Request, level: int, background: bool = False) -> None:
        """A request joins the batch; background work makes way for an interactive one."""
        running = _begun(self, worker.device, request, level, background)
        worker.change(self.system.now, lambda batch: batch.append(running))
        self._make_room(worker)
        self.gangs.form(worker, running)

    def _start_background(self, worker: SimWorker) -> bool:
        """Background work fills a worker that has nothing else, at the best level it holds."""
        if not self.system.background:
            return False
        request, preempted = self.fairness.next_in_background()
        mine = self.system.cluster.models[worker.model]
        if preempted is None or preempted.level not in mine:
            best = max(mine, key=lambda i: request.quality[i])
            self._start(worker, request, best, background=True)
        else:
            worker.change(self.system.now, lambda batch: batch.append(preempted))
        return True

    def _start_owed(self, worker: SimWorker) -> bool:
        """A request that missed its deadline long ago is given a start now and then, and keeps it."""
        system, mine = self.system, self.owed.setdefault(worker.id, Owed())
        if not system.waiting.get(worker.model) or not mine.allows(system.now):
            return False
        old = next((pair for pair in system.background if pair[0].id in system.unreachable), None)  # the oldest
        if old is None or system.now - old[0].arrived < OWED_AFTER * system.config.slo_s:
            return False
        system.background.remove(old)
        cheapest = min(system.cluster.models[worker.model], key=self.seconds[worker.device].__getitem__)
        self._start(worker, old[0], cheapest)
        mine.started(system.now, self.seconds[worker.device][cheapest])
        return True

    def pause(self, model: str) -> None:
        """The policy may have a running request give way to those that wait; it goes on from where it was."""
        system = self.system
        able = [w for w in system.workers if w.model == model and w.alive and w.batch and w.joined is None]
        if not (system.policy.pauses and system.waiting[model] and able) or any(w.has_room(system.now) for w in able):
            return
        if (found := _giving_way(system, model, able)) is None:
            return
        worker, paused = found
        worker.change(system.now, lambda batch: batch.remove(paused))
        while worker.has_room(system.now) and self._admit(worker):
            pass
        worker.paused.append(paused)
        self.pauses += 1
        self.feed(worker)

    def _make_room(self, worker: SimWorker) -> None:
        """Background work that has no place beside requests in front, or slows them notably, waits with its progress
        kept."""
        latencies = self.system.policy.latencies
        front = [running.drawn for running in worker.batch if not running.background]
        behind = [running for running in worker.batch if running.background]
        while behind:
            full = sum(running.share for running in worker.batch) > 1 + DONE
            if not (full or slows(latencies, worker.device, front, [running.drawn for running in behind])):
                return
            leaving = behind.pop(0)
            worker.change(self.system.now, lambda batch, gone=leaving: batch.remove(gone))  # type: ignore[misc]
            self.system.background.appendleft((leaving.request, leaving))
            self.evictions += 1


def _begun(among: Dispatch, device: str, request: Request, level: int, background: bool) -> Running:
    drawn = among.system.cache.drawn(request, level, device)
    longer = request.lengths[drawn] if request.lengths else 1.0
    lasts = longer * among.system.lasts[int(request.id)]
    seconds, takes_s = longer * among.seconds[device][drawn], among.takes_s[device][drawn]
    takes_s = takes_s if lasts == 1.0 else tuple(each_s * lasts for each_s in takes_s)
    left, share = 1 - request.done, among.system.policy.latencies.share[device][drawn]
    return Running(request, level, drawn, seconds, takes_s, share, among.model_of[drawn], left, background)


def _takes_s(profile: Profile, levels: Sequence[str]) -> list[tuple[float, ...]]:
    """Seconds by level among 1, 2, … requests, up to the fullest batch; infinite where the device cannot run it."""
    rows = range(1, max(level.rows for level in profile.levels) + 1)
    never = (float("inf"),) * len(rows)
    return [tuple(map(profile.level(level).expected_s, rows)) if level in profile.ids else never for level in levels]


def _running(worker: SimWorker, system: System) -> tuple[Started, ...]:
    """What a worker runs, as policies see it."""
    worker.advance(system.now)
    levels = system.policy.levels
    return tuple(Started(r.request.deadline, levels[r.drawn], r.work) for r in worker.batch if not r.background)


def _giving_way(system: System, model: str, workers: Sequence[SimWorker]) -> tuple[SimWorker, Running] | None:
    """The request that pauses for those that wait, and whose it is."""
    running = [(w, r) for w in workers for r in w.advanced(system.now)]
    pairs = [(replace(r.request, done=1 - r.left), system.policy.levels[r.level]) for _, r in running]
    chosen = system.policy.gives_way(system.waiting[model], pairs, system.load())
    return None if chosen is None else running[chosen]
