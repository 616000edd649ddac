"""TetriServe: rounds of a few denoising steps, packed so that as few requests as can be become late (Lu et al.,
ASPLOS 2026, arXiv:2510.01565).

Time is cut into rounds. For each request the scheduler knows whether it is lost unless it runs in this round; a group
knapsack over the GPUs chooses who runs so that most are still to be saved at the next one, with the fewest
GPU-seconds. Its own knob, how many GPUs share a request's sequence, is not one here: a request runs on one worker.
With one worker asking at a time the knapsack has one place, and its answer is: of those that are lost unless they
start within this round the one that takes least, else the earliest deadline; what is lost already runs when there is
room. Rounds are of five steps, its authors' choice, but nobody waits for one to begin. Levels are NIRVANA's, which
its authors run on top (§6): so requests are of unequal length, as their resolutions are there.
"""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.policies.decisions import Admission, Epoch, LoadState, Request, Worker
from scheduler.policies.joining import Joining
from scheduler.policies.nirvana import Nirvana

ROUND = 0.1  # of the exact level's time: 5 steps of 50


class TetriServe(Nirvana):
    name = "tetriserve"
    source = "Lu et al., TetriServe: Efficiently Serving Mixed DiT Workloads, ASPLOS 2026; one worker a request"
    lets_go = True

    def admit(
        self, worker: Worker, waiting: Sequence[tuple[Request, str]], epoch: Epoch, state: LoadState
    ) -> Admission:
        alone = self.latencies.alone[worker.device]
        round_s = ROUND * alone[self.index[self.level()]]
        unreachable: list[int] = []
        able: list[tuple[bool, float, int, int]] = []  # not urgent, seconds if urgent, place, level
        for i, (request, level) in enumerate(waiting):
            options = self._as_drawn(request, self._options(request, level, worker), worker)
            left = request.deadline - state.now - self.margin
            behind = len(waiting) - i - 1
            if options and Joining(self.latencies, worker, options, left, behind, state, request.work).in_time:
                urgent = left - round_s < alone[options[0]]
                able.append((not urgent, alone[options[0]] if urgent else 0.0, i, options[0]))
            elif options and not self.latencies.reachable(options, left, request.work):
                unreachable.append(i)
        if not able:
            return Admission(unreachable=tuple(unreachable))
        *_, place, chosen = min(able)
        return Admission(place, self.levels[chosen], tuple(unreachable))


policy = TetriServe
