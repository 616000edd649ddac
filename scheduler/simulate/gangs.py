"""Gangs of the simulated world: workers of one host that draw one image together, by the rule that live workers have.

As live (`workers.gangs`): the worker that starts an interactive request leads, where it runs nothing else and nobody
waits. `auto` asks `scheduler.planning.gangs` with the load of the plan in force; a mode that requests name takes as
many idle workers as there can be. Members begin nothing until the image has been drawn, and the load does not show them
as busy. Where one dies the leader goes on in serial steps. What a step takes with so many ranks is the profile's of
modes, measured or modelled. Requests that fill what others leave are drawn serially.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from core.parallel import AUTO
from core.parallel_profiles import ModeProfile
from core.profiles import LevelProfile
from scheduler.planning.gangs import Load, begins_from_noise, gang_that_pays, most_ranks, planned_load
from scheduler.simulate.system import System
from scheduler.simulate.worker import Running, SimWorker


@dataclass(frozen=True)
class Gang:
    """Who draws an image together; `serial_s` are what it takes its leader alone, as `Running.takes_s`."""

    running: Running
    leader: SimWorker
    members: tuple[SimWorker, ...]
    serial_s: Sequence[float]

    def dissolve(self) -> None:
        for worker in (self.leader, *self.members):
            worker.joined = None


class Gangs:
    """The gangs of a run. `formed` counts them by mode and ranks, `broken` those that lost a member."""

    def __init__(self, system: System) -> None:
        self.system, self.setting = system, system.config.gangs
        self.formed: Counter[tuple[str, int]] = Counter()
        self.broken = 0
        self._of: dict[int, Gang] = {}  # by leader

    def form(self, leader: SimWorker, running: Running) -> None:
        """Idle workers join one that has just started a request, where that pays or was asked for."""
        if self.setting is None or self.setting.asked == "off" or not self._may(leader, running):
            return
        level, idle = self._level(leader, running), self._idle(leader)
        steps = round((level.steps or 0) * self._length(running))
        mode = self._mode(leader, running, steps, len(idle)) if steps else None
        if mode is None:
            return
        gang = Gang(running, leader, tuple(idle[: mode.ranks - 1]), running.takes_s)
        for worker in (leader, *gang.members):
            worker.joined = running
        running.mode, running.ranks, running.leader = mode.mode, mode.ranks, leader.id
        pace = self.system.lasts[int(running.request.id)]
        beside = max(0.0, running.takes_s[0] - pace * steps * mode.serial_s)  # encoding, decoding
        together_s = beside + pace * steps * mode.step_s + mode.meet_s
        self._take(leader, running, (together_s,))
        self.formed[mode.mode, mode.ranks] += 1
        self._of[leader.id] = gang

    def ended(self, leader: SimWorker) -> list[SimWorker]:
        """Who is free again, now that an image of this worker has ended."""
        gang = self._of.get(leader.id)
        if gang is None or any(running is gang.running for running in leader.batch):
            return []
        del self._of[leader.id]
        gang.dissolve()
        return [member for member in gang.members if member.alive]

    def lost(self, worker: SimWorker) -> list[SimWorker]:
        """Who goes on without a worker that has died: its members, or its leader in serial steps, and other members."""
        gang = next((gang for gang in self._of.values() if gang.running is worker.joined), None)
        if gang is None:
            return []
        del self._of[gang.leader.id]
        gang.dissolve()
        self.broken += 1
        if worker is not gang.leader:
            self._take(gang.leader, gang.running, gang.serial_s)
        return [one for one in (gang.leader, *gang.members) if one.alive]

    def _may(self, leader: SimWorker, running: Running) -> bool:
        """Whether this is a request of a gang, and now the time for one."""
        system, request = self.system, running.request
        waits = bool(system.background or system.handed_over) or any(system.waiting.values())
        runs_else = len(leader.batch) > 1 or bool(leader.paused)
        if waits or runs_else or running.background or request.batch or request.done:
            return False
        return begins_from_noise(self._level(leader, running).strategies)

    def _mode(self, leader: SimWorker, running: Running, steps: int, idle: int) -> ModeProfile | None:
        assert self.setting is not None
        modes = self.setting.modes.get(leader.device, ())
        if self.setting.asked == AUTO:
            return gang_that_pays(modes, running.model, steps, self._load(), idle, self.setting.most_wait)
        most = most_ranks(idle)
        able = [mode for mode in modes if (mode.mode, mode.model) == (self.setting.asked, running.model)]
        return max((mode for mode in able if 1 < mode.ranks <= most), key=lambda mode: mode.ranks, default=None)

    def _idle(self, leader: SimWorker) -> list[SimWorker]:
        """Other workers of its host and type of device that hold its model and draw nothing."""
        assert self.setting is not None
        host = self.setting.host
        return [
            worker
            for worker in self.system.workers
            if worker is not leader
            and (worker.id // host, worker.device, worker.model) == (leader.id // host, leader.device, leader.model)
            and not (worker.batch or worker.paused)
            and worker.has_room(self.system.now)
        ]

    def _load(self) -> Load:
        """What the load takes at the levels of the plan in force."""
        system = self.system
        alive = sum(worker.alive for worker in system.workers)
        return planned_load(system.forecaster.rate, system.epoch.shares, self._seconds, alive)

    def _seconds(self, level: str) -> float:
        """Worker-seconds of a request on the fastest type of device."""
        policy = self.system.policy
        return min(policy.cluster.seconds(device)[policy.index[level]] for device in policy.cluster.profiles)

    def _level(self, leader: SimWorker, running: Running) -> LevelProfile:
        return self.system.config.profiles[leader.device].level(self.system.policy.levels[running.level])

    def _length(self, running: Running) -> float:
        lengths = running.request.lengths
        return lengths[running.drawn] if lengths else 1.0

    def _take(self, leader: SimWorker, running: Running, takes_s: Sequence[float]) -> None:
        """From now on it takes so long."""

        def change(batch: list[Running]) -> None:
            running.takes_s = takes_s

        leader.change(self.system.now, change)
