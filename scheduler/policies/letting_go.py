"""Who is let go of when not all that wait can be in time: those who would lose most by approximation.

Under an overload all are drawn at the cheapest level, and some will be late whatever is done. As many as possible are
in time when requests start by deadline and, whenever one more does not fit, one of those before it is given up (Moore
1968). Where all take equally long it can be any of them: the sets of requests that fit are the independent sets of a
matroid, of which the greedy algorithm finds the most valuable one (Lawler 1976, §7). So nobody more is late for it.
Who is late is who would have lost most, and is drawn at a good level when there is room.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.planning.pricing import VALUE_IN_TIME
from scheduler.policies.base import Policy
from scheduler.policies.decisions import Admission, Epoch, LoadState, Request, Worker


@dataclass(frozen=True, slots=True)
class Candidate:
    """A request that waits, at its cheapest level: the seconds until it must have started, the worker-seconds that it
    takes, the quality it would have."""

    slack_s: float
    takes_s: float
    quality: float


def given_up(candidates: Sequence[Candidate], workers: int, before_s: float) -> list[int]:
    """Indices of the `candidates` that have to go so that all others start in time; they come by rising deadline.

    The `workers` are a fluid server that has `before_s` worker-seconds to do first. Who could not start in time as the
    first of all is not judged.
    """
    kept: list[tuple[float, int]] = []  # a heap, by value for the time it takes
    gone: list[int] = []
    ahead_s = before_s
    for i, one in enumerate(candidates):
        room_s = workers * one.slack_s
        if one.slack_s < 0 or before_s > room_s:
            continue
        heapq.heappush(kept, ((VALUE_IN_TIME + one.quality) / one.takes_s, i))
        stays = True
        while stays and ahead_s > room_s:
            _, least = heapq.heappop(kept)
            gone.append(least)
            stays = least != i
            ahead_s -= candidates[least].takes_s if stays else 0.0
        ahead_s += one.takes_s if stays else 0.0
    return sorted(gone)


class LetsGoByQuality(Policy):
    """A policy that lets go of those who would lose most, where not all that wait can be in time."""

    def admit(
        self, worker: Worker, waiting: Sequence[tuple[Request, str]], epoch: Epoch, state: LoadState
    ) -> Admission:
        gone = self._given_up(worker, waiting, state) if self.admission_control else []
        if not gone:
            return super().admit(worker, waiting, epoch, state)
        kept = sorted(set(range(len(waiting))).difference(gone))
        return super().admit(worker, [waiting[i] for i in kept], epoch, state).among(kept, gone)

    def _given_up(self, worker: Worker, waiting: Sequence[tuple[Request, str]], state: LoadState) -> list[int]:
        """Each is taken at the cheapest level that its floor allows, in a full batch.

        A slot is free when what runs in it has ended, the first ones now: half of the time of a full batch before the
        fluid server has done what runs.
        """
        if len(waiting) < 2:
            return []
        workers, lasts_s = state.workers.get(worker.model, 1), self.latencies.full[worker.device]
        sooner_s = workers * min(lasts_s[i] for i in self.latencies.models[worker.model]) / 2
        offered = [self._at_its_cheapest(request, level, worker, state) for request, level in waiting]
        return given_up(offered, workers, state.busy_s.get(worker.model, 0.0) - sooner_s)

    def _at_its_cheapest(self, request: Request, level: str, worker: Worker, state: LoadState) -> Candidate:
        seconds, lasts_s = self.latencies.seconds[worker.device], self.latencies.full[worker.device]
        i = min(self._options(request, level, worker), key=seconds.__getitem__, default=self.index[level])
        work = request.work(i)
        slack_s = request.deadline - state.now - self.margin - work * lasts_s[i]
        return Candidate(slack_s, work * seconds[i], self._quality(request, i))

    def _quality(self, request: Request, level: int) -> float:
        return request.quality[level]
