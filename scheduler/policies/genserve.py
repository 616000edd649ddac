"""GenServe: a running request with slack gives its worker to one without (Ye et al., 2026, arXiv:2604.04335).

A diffusion request can be paused after any step, and what it still needs is known; its slack is its deadline less now
and what it needs. When requests wait that would be late by the time a worker is free, the running one with the most
slack is paused for them, if it can still be in time afterwards, and goes on later from where it was (§4.1).

Its long requests are videos, its short ones images; here they are those that skip few or many steps of the cache
(NIRVANA's levels), at most one to two. Of requests with one target latency the waiting ones have more slack than those
that run, so nobody is paused; where targets differ somebody is. A worker draws a request's steps alone, so elastic
sequence parallelism and the knapsack over its degrees have nothing to choose.
"""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.policies.decisions import Admission, Epoch, LoadState, Request, Worker
from scheduler.policies.joining import Joining
from scheduler.policies.nirvana import Nirvana


class GenServe(Nirvana):
    name = "genserve"
    source = "Ye et al., GenServe: Efficient Co-Serving of Heterogeneous Diffusion Model Workloads, arXiv:2604.04335"
    lets_go = True
    pauses = True

    def admit(
        self, worker: Worker, waiting: Sequence[tuple[Request, str]], epoch: Epoch, state: LoadState
    ) -> Admission:
        unreachable: list[int] = []
        for i, (request, level) in enumerate(waiting):
            options = self._as_drawn(request, self._options(request, level, worker), worker)
            left, behind = request.deadline - state.now - self.margin, len(waiting) - i - 1
            if options and Joining(self.latencies, worker, options, left, behind, state, request.work).in_time:
                return Admission(i, self.levels[options[0]], tuple(unreachable))
            if options and not self.latencies.reachable(options, left, request.work):
                unreachable.append(i)
        return Admission(unreachable=tuple(unreachable))

    def gives_way(
        self, waiting: Sequence[tuple[Request, str]], running: Sequence[tuple[Request, str]], state: LoadState
    ) -> int | None:
        soonest = min(self._needs_s(*pair) for pair in running)
        slack = [self._slack_s(*pair, state) for pair in waiting]
        pressed = [i for i, s in enumerate(slack) if 0 <= s < soonest]
        if not pressed:
            return None
        takes = self._needs_s(*waiting[min(pressed, key=slack.__getitem__)])
        spare = [self._slack_s(*pair, state) for pair in running]
        calmest = max(range(len(running)), key=spare.__getitem__)
        return calmest if spare[calmest] > takes + soonest else None

    def _needs_s(self, request: Request, level: str) -> float:
        """Seconds that the rest of it takes alone, on the fastest type of device."""
        drawn = self.cluster.drawn(self.index[level], request.quality)
        return request.work(drawn) * min(alone[drawn] for alone in self.latencies.alone.values())

    def _slack_s(self, request: Request, level: str, state: LoadState) -> float:
        return request.deadline - state.now - self.margin - self._needs_s(request, level)


policy = GenServe
