"""Who may join what a worker runs, at which levels: nobody is to be late by it, neither who joins nor who runs.

Rows of one model share its steps, models take turns (`LatencyTable.among`). So what joins takes time of those that run,
and whoever starts now will be joined himself, by those behind him and those who arrive while he runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property

from scheduler.policies.decisions import LoadState, Worker
from scheduler.policies.latency import LatencyTable, Left, Work, usual

SHORT = 4.0  # times as long a request must be for another to be short beside it
LITTLE = 0.05  # of the time to its deadline that one may take of a running request more than the fastest level would
ROUNDS = 4  # of: who arrives while it runs, how long it runs with those


class Joining:
    """One worker asked for a request with these level `options`, `left` seconds and `behind` others behind it.

    `work` is what there is to do of it.
    """

    def __init__(
        self,
        latencies: LatencyTable,
        worker: Worker,
        options: Sequence[int],
        left: float,
        behind: int,
        state: LoadState,
        work: Left = usual,
    ) -> None:
        self.work = work
        self.latencies, self.worker = latencies, worker
        self.options, self.left, self.behind = options, left, behind
        self.rate = state.rate / max(1, state.workers.get(worker.model, 1))
        device = worker.device
        self.alone, self.seconds = latencies.alone[device], latencies.seconds[device]
        self.fills, self.levels = latencies.share[device], latencies.models[worker.model]
        self.quickest = min(self.levels, key=self.seconds.__getitem__)
        index = latencies.index
        self.running = [(index[r.level], r.left, r.deadline - state.now) for r in worker.running if r.level in index]
        self.beside: list[Work] = [(level, share, 1.0) for level, share, _ in self.running]

    @cached_property
    def in_time(self) -> list[int]:
        """Levels that end in time and make nobody late who runs; else the fastest, if itself in time.

        That is alone on an idle worker, else beside those that run and those behind it that will fill the places left:
        one that starts too late keeps others from being in time, and the next one again.
        """
        found = [i for i in self.options if self._takes(i, self.work(i), self.beside) <= self.left]
        for k, (level, share, until) in enumerate(self.running):
            others = self.beside[:k] + self.beside[k + 1 :]
            if share * self.alone[level] <= until:
                least = self._takes(level, share, [*others, (self.quickest, 1.0, 1.0)])
                most = max(until, least + LITTLE * until)
                found = [i for i in found if self._takes(level, share, [*others, (i, self.work(i), 1.0)]) <= most]
        fastest = min(self.options, key=lambda i: self.work(i) * self.alone[i])
        room = max(0, round(1 / self.fills[fastest]) - 1)  # places beside it, which those behind it will fill
        at_once = [*self.beside, (self.quickest, 1.0, min(self.behind, room))] if self.running else []
        return found or [fastest] * (self._among(fastest, self.work(fastest), at_once) <= self.left)

    @cached_property
    def afterwards(self) -> list[int]:
        """Other levels that end in time when started once all that runs has ended; none where nothing runs."""
        others = [i for i in self.options if i not in self.in_time] if self.running else []
        return [i for i in others if self.ends_s + self._takes(i, self.work(i), [], self.ends_s) <= self.left]

    def gains_by_waiting(self, gain: Callable[[int], float], price: float) -> bool:
        """Whether a level afterwards gains more than any now, less the `price` of the worker's time unused till then.

        `gain` is net of the price of a level's own seconds.
        """
        if not (self.in_time and self.afterwards):
            return False
        unused_s = self.ends_s * max(0.0, 1 - sum(self.fills[level] for level, _, _ in self.running))
        return max(map(gain, self.afterwards)) - price * unused_s > max(map(gain, self.in_time))

    def worker_s(self, level: int) -> float:
        """Worker-seconds that it takes at a level."""
        return self.work(level) * self.seconds[level]

    @cached_property
    def ends_s(self) -> float:
        """Seconds until all that runs has ended, if nobody joins."""
        each = enumerate(self.running)
        ends = [self._among(level, share, self.beside[:k] + self.beside[k + 1 :]) for k, (level, share, _) in each]
        return max(ends, default=0.0)

    def _takes(self, level: int, share: float, others: list[Work], later_s: float = 0.0) -> float:
        """Seconds that the share of a request takes beside `others` and those who will join, starting `later_s` on.

        Those behind it and who arrives until it has ended will join, unless it fills the device: at a level that is
        short beside it, else at the fastest. They make it end later, and more arrive meanwhile.
        """
        if self.fills[level] >= 1:
            return self._among(level, share, others)
        takes_s = share * self.alone[level]
        for _ in range(ROUNDS):
            joining = _reckoned(self.behind + self.rate * (later_s + takes_s))
            takes_s = self._among(level, share, [*others, (self._joins(level), 1.0, joining)])
        return takes_s

    def _joins(self, level: int) -> int:
        """The level at which others join a request at this one: the best of those that take little beside it."""
        short = [i for i in self.levels if SHORT * self.seconds[i] <= self.seconds[level]]
        return max(short, key=self.latencies.quality.__getitem__, default=self.quickest)

    def _among(self, level: int, share: float, others: Sequence[Work]) -> float:
        return self.latencies.among(self.worker.device, level, share, others)


def _reckoned(mean: float) -> float:
    """How many to reckon with where so many come on average, one by one: a standard deviation more."""
    return mean + math.sqrt(mean)
