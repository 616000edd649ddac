"""Clairvoyant Argus: its plan and rules, told the future arrivals and the true qualities.

No bound: other rules may do better (that is `scheduler.simulate.bound`). It reads the number of requests that will come
instead of a rate that was, and prices by the prompts that will come instead of those that came.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace

import numpy as np

from scheduler.policies.argus import Argus
from scheduler.policies.cluster import Cluster
from scheduler.policies.decisions import Epoch, LoadState, Observation

AHEAD = 3.0  # target latencies that it looks ahead


class Oracle(Argus):
    name = "oracle"
    source = "clairvoyant argus: the same MILP, told the future"
    clairvoyant = True

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self.times: list[float] = []
        self.truth = np.zeros((0, len(self.levels)))

    def over(self, cluster: Cluster) -> None:
        super().over(cluster)
        self.ahead_s = AHEAD * cluster.slo_s

    def foretell(self, times: np.ndarray, truth: np.ndarray) -> None:
        """All arrivals (N, seconds, sorted) and their true qualities (N×L)."""
        self.times, self.truth = [float(t) for t in times], truth

    def plan(self, observed: Observation) -> Epoch:
        first, last = self._between(observed.now, observed.now + max(observed.tick_s, self.ahead_s))
        coming = self.truth[first:last]
        rate = (last - first) / max(observed.tick_s, self.ahead_s)
        sample = coming if len(coming) else observed.sample
        return super().plan(replace(observed, rate=rate, error=0.0, sample=sample, floors=np.zeros(len(sample))))

    def arrival_rate(self, state: LoadState) -> float:
        first, last = self._between(state.now, state.now + self.ahead_s)
        return (last - first) / self.ahead_s

    def _between(self, start: float, end: float) -> tuple[int, int]:
        return bisect_left(self.times, start), bisect_left(self.times, end)


policy = Oracle
