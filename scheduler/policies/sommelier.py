"""Sommelier: each worker switches to the best model that keeps up with its own queue (Guo et al., SIGMOD 2022).

It curates interchangeable models; the Argus paper lets every worker choose among them by its own load. A worker's load
is its share of the arrivals plus its queue, to be cleared within half the target latency. Workers look in turn, a
quarter of them a tick, or all would load weights at once. Reactive: it reads the rate that was, not a forecast.
"""

from __future__ import annotations

from scheduler.planning.instance import Plan
from scheduler.policies.base import Policy
from scheduler.policies.cluster import Cluster
from scheduler.policies.decisions import Epoch, LoadState, Observation, Request

TURNS = 4


class Sommelier(Policy):
    name = "sommelier"
    source = "Guo et al., Sommelier: Curating DNN Models for the Masses, SIGMOD 2022; per-worker switching, Argus paper"
    shared = False

    def plan(self, observed: Observation) -> Epoch:
        workers = {device: self._choose(observed, device) for device in observed.workers}
        served = {"all": self._shares(workers, observed.rate * 60)}
        total = sum(served["all"].values())
        plan = Plan("per worker", 0.0, total, 0.0, workers, served, {"all": 0.0}, {}, 0.0)
        return self.epoch(observed, plan)

    def _choose(self, observed: Observation, device: str) -> dict[str, int]:
        known = self.on_average(observed)
        held = [level for level in self.levels for _ in range(observed.current.get(device, {}).get(level, 0))]
        held += [self._best(known, device, 0.0)] * (observed.workers[device] - len(held))
        alone = observed.rate / max(1, sum(observed.workers.values()))
        for i in range(len(held)):
            if i % TURNS == self.epochs % TURNS:
                queue = observed.waiting.get(held[i], 0) / max(1, held.count(held[i]))
                held[i] = self._best(known, device, alone + queue / (self.cluster.slo_s / 2))
        return {level: held.count(level) for level in dict.fromkeys(held)}

    def _best(self, known: Cluster, device: str, rate: float) -> str:
        """The best level whose one worker carries the rate; the fastest where none does."""
        seconds = dict(zip(self.levels, known.seconds(device), strict=True))
        able = [level for level in self.levels if seconds[level] * rate <= 1]
        if not able:
            return min(self.levels, key=lambda level: seconds[level])
        return max(able, key=lambda level: known.quality[self.index[level]])

    def _shares(self, workers: dict[str, dict[str, int]], demand: float) -> dict[str, float]:
        """Every worker gets the same share of the arrivals."""
        n = max(1, sum(sum(models.values()) for models in workers.values()))
        rates: dict[str, float] = {}
        for models in workers.values():
            for level, count in models.items():
                rates[level] = rates.get(level, 0.0) + max(demand, 1e-3) * count / n
        return rates

    def route(self, request: Request, epoch: Epoch, state: LoadState) -> str:
        return self.next_in_turn(epoch, state)


policy = Sommelier
