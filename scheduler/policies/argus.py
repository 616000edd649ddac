"""Argus: joint plan, priced routing, levels bound when service starts, admission control, the backlog re-aligned.

The plan is one MILP over prompt classes × levels with the levels of a model sharing its workers. Its price, as the
shadow price of a worker-second, is corrected at every decision by what waits (`scheduler.planning.pricing`). A worker
that has room takes the request with the earliest deadline and chooses the level anew: best quality minus price that is
still in time and leaves everyone behind it a chance. A request that no level can finish in time is marked so, and
served when a worker would otherwise idle; where not all can be in time, so are those who would lose most
(`scheduler.policies.letting_go`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scheduler.planning.align import align
from scheduler.planning.milp import solve
from scheduler.planning.pricing import choose, shadow_price
from scheduler.policies.base import MIN_DEMAND
from scheduler.policies.cluster import Cluster
from scheduler.policies.decisions import Epoch, LoadState, Observation, Request, Worker
from scheduler.policies.joining import Joining
from scheduler.policies.latency import pools_of
from scheduler.policies.letting_go import LetsGoByQuality
from scheduler.policies.prompts import break_tie, curve_of, prompt_classes, quality_caps, within_floor

ESCALATE = 0.05  # share of the workers that has to be spare before scores below a floor are regenerated


class Argus(LetsGoByQuality):
    name = "argus"
    source = "this repository: docs/decisions/0010 to 0013, 0022"
    moves = True
    pauses = True
    prompt_aware = True  # False: every prompt is priced as the mean prompt (ablation: without the predictor)
    late_binding = True  # levels bound when service starts; False: at arrival

    def over(self, cluster: Cluster) -> None:
        super().over(cluster)
        self.models = self.cluster.models
        self.caps = quality_caps(self.cluster.quality)

    def plan(self, observed: Observation) -> Epoch:
        sample, floors = _sample(self, observed)
        asked = prompt_classes(self.levels, sample, floors, max(self.demand(observed), MIN_DEMAND))
        plan = solve(self.instance(observed, asked, 1.0 + observed.error))
        planned, leaving = (
            {m: {d: by.get(m, 0) for d, by in counts.items()} for m in self.models}
            for counts in (plan.workers, observed.current)
        )
        stays = {m for m in self.models if any(planned[m].values())}
        seconds = self.latencies.mean_seconds({m: planned[m] if m in stays else leaving[m] for m in self.models})
        prices = np.array([plan.prices.get(lv, np.inf) for lv in self.levels])
        prices[[self.cluster.holds(lv) not in stays for lv in self.levels]] = np.inf
        chosen = choose(sample, prices, floors)
        open_models = [m for m in self.models if m in stays or any(leaving[m].values())]
        curves = {m: curve_of(self.models[m], sample, floors, seconds, chosen) for m in open_models}
        shares = {m: float(np.mean(np.isin(chosen, self.models[m]))) if m in stays else 1.0 for m in curves}
        extra = {
            "seconds": {lv: float(s) for lv, s in zip(self.levels, seconds, strict=True) if np.isfinite(s)},
            "shares": shares,
            "batch_rate": observed.batch_rate,
            "escalate": plan.spare > ESCALATE * sum(observed.workers.values()),
        }
        return self.epoch(observed, plan, curves=curves, extra=extra)

    def route(self, request: Request, epoch: Epoch, state: LoadState) -> str:
        """Argmax of quality − price over what floor and served models allow; ties by hash in the planned proportion."""
        served = [m for m in epoch.curves if state.workers.get(m, 0)]
        planned = [m for m in served if epoch.workers.get(m, 0)] or served  # all are leaving: as long as they are there
        worker_second = {m: self._shadow_price(m, epoch, state) for m in planned}
        if not worker_second:  # nobody serves yet: it waits at its best level
            return self.levels[max(range(len(self.levels)), key=lambda i: request.quality[i])]
        best, highest = [], -np.inf
        for i in within_floor(request, [i for m in worker_second for i in self.models[m]]):
            level = self.levels[i]
            seconds = epoch.extra["seconds"].get(level)
            if seconds is None:
                continue
            now = worker_second[self.cluster.holds(level)] * request.work(i) * seconds
            net = self._quality(request, i) - self._price(level, now, epoch, state)
            if net > highest + 1e-9:
                best, highest = [level], net
            elif net > highest - 1e-9:
                best.append(level)
        return break_tie(best or [self.levels[0]], request.key, epoch)

    def realign(self, waiting: Sequence[tuple[Request, str]], epoch: Epoch, state: LoadState) -> list[str]:
        """Least predicted loss within the workers' time (`scheduler.planning.align`). With one model there is nothing
        to move: its levels are bound when service starts."""
        if not epoch.curves or not waiting:
            return super().realign(waiting, epoch, state)
        if len(epoch.curves) == 1:
            (model,) = epoch.curves
            best = self.levels[max(self.models[model], key=self.cluster.quality.__getitem__)]
            served = {level for level in self.levels if epoch.workers.get(self.cluster.holds(level))}
            return [level if level in served else best for _, level in waiting]
        pools = pools_of(self.cluster, epoch, epoch.extra["seconds"])
        quality = np.minimum(np.array([request.quality for request, _ in waiting]), self.caps)
        left = np.array([request.deadline - state.now for request, _ in waiting])
        floors = np.array([request.floor for request, _ in waiting])
        aligned = align(pools, quality, left, floors)
        fastest = int(np.argmin(np.where(pools.open, pools.latency, np.inf)))
        return [self.levels[i] if i >= 0 else self.levels[fastest] for i in aligned.levels]

    def finished(self, request: Request, level: str, score: float, epoch: Epoch, state: LoadState) -> str | None:
        """Regenerate a score under the request's floor at the best level, once, while the plan has workers to spare."""
        if score >= request.floor or request.attempt or not epoch.extra["escalate"]:
            return None
        best = max(range(len(self.levels)), key=lambda i: request.quality[i])
        in_time = state.now + min(by[best] for by in self.latencies.alone.values()) <= request.deadline
        return self.levels[best] if in_time and self.levels[best] != level else None

    # -- prices -----------------------------------------------------------------------------------------------------

    def arrival_rate(self, state: LoadState) -> float:
        """Requests a second to expect. The oracle knows them."""
        return state.rate

    def _shadow_price(self, model: str, epoch: Epoch, state: LoadState, itself: int = 0) -> float:
        """Price of a worker-second of those that hold this, now. `itself`: who asks is one of those that wait."""
        coming = self.arrival_rate(state) + epoch.extra.get("batch_rate", 0.0)
        rate = coming * epoch.extra["shares"].get(model, 1.0)
        workers = state.workers.get(model, 0)
        known = epoch.extra["seconds"]
        seconds = min(known[self.levels[i]] for i in self.models[model] if self.levels[i] in known)
        others = max(0, state.waiting.get(model, 0) - itself)
        before = others + state.busy_s.get(model, 0.0) / seconds  # in requests at the fastest level
        room = workers * self.latencies.depth[model]
        return shadow_price(epoch.curves[model], rate, before, workers, room, state.dispersion)

    def _price(self, level: str, now: float, epoch: Epoch, state: LoadState) -> float:
        """The price now; once the level's model has had its share of the plan, at least the plan's price.

        The queue shows too late that a model is asked for more than it was planned for: it is full by then.
        """
        model = self.cluster.holds(level)
        routed = sum(state.routed.get(self.levels[i], 0) for i in self.models[model])
        behind = routed < epoch.extra["shares"].get(model, 0.0) * sum(state.routed.values())
        return now if behind else max(now, epoch.plan.prices.get(level, 0.0))

    # -- admission --------------------------------------------------------------------------------------------------

    def _options(self, request: Request, level: str, worker: Worker) -> Sequence[int]:
        """Levels of the worker's model within the floor; bound at arrival, or begun, the one that it was routed to."""
        bound = request.done or not self.late_binding
        options = (self.index[level],) if bound else within_floor(request, self.models[worker.model])
        return [i for i in options if self.latencies.runs(worker.device, i)]

    def _start(
        self,
        index: int,
        options: Sequence[int],
        worker: Worker,
        waiting: Sequence[tuple[Request, str]],
        epoch: Epoch,
        state: LoadState,
    ) -> int:
        """Best quality minus price among those that leave the requests behind it a chance."""
        request, seconds = waiting[index][0], self.latencies.seconds[worker.device]
        budget = self.latencies.budget(index, worker, waiting, state, self.margin)
        takes = {i: request.work(i) * seconds[i] for i in options}
        options = [i for i in options if takes[i] <= budget] or [min(options, key=takes.__getitem__)]
        if worker.model not in epoch.curves:
            return max(options, key=lambda i: request.quality[i])
        price = self._shadow_price(worker.model, epoch, state, itself=1)
        return max(options, key=lambda i: self._quality(request, i) - price * takes[i])

    def _rather_waits(self, request: Request, joining: Joining, epoch: Epoch, state: LoadState) -> bool:
        model = joining.worker.model
        if model not in epoch.curves or not joining.afterwards:
            return False
        price = self._shadow_price(model, epoch, state, itself=1)
        return joining.gains_by_waiting(lambda i: self._quality(request, i) - price * joining.worker_s(i), price)

    def _quality(self, request: Request, i: int) -> float:
        return min(request.quality[i] if self.prompt_aware else self.cluster.quality[i], self.caps[i])


def _sample(policy: Argus, observed: Observation) -> tuple[np.ndarray, np.ndarray]:
    """The prompts that a plan is made for: predicted qualities, and floors."""
    if not len(observed.sample) or not policy.prompt_aware:
        return np.minimum(np.array([policy.cluster.quality]), policy.caps), np.zeros(1)
    return np.minimum(observed.sample, policy.caps), observed.floors


policy = Argus
