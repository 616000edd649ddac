"""DiffServe: a light model first, a discriminator escalates what it is not sure of (Ahmad et al., MLSys 2025,
arXiv:2411.15381).

The MILP of §3.3 with two models is small enough to enumerate. For each pair of batch sizes whose executions and waits
(Little's law, at both stages) fit into the target latency, the fewest light workers carry all of the demand and the
others, at the heavy model, a share f of it; the largest f wins. Where none fits, nothing is escalated until the
queues are shorter (the artefact has no answer there). The threshold is the f-quantile of the discriminator's scores
of the light model's recent images: those of the heavy model say nothing about the light one's. Demand is raised by a
fifth, as in the artefact. An image is escalated only while the heavy model can still be in time; otherwise the light
image is the answer (the artefact drops both).
"""

from __future__ import annotations

import math

import numpy as np

from scheduler.planning.instance import Plan
from scheduler.policies.base import Policy
from scheduler.policies.cascades import Stage, light_scores, most_common_device, stage
from scheduler.policies.cluster import Cluster
from scheduler.policies.decisions import Epoch, LoadState, Observation, Request

HEADROOM = 1.2
ALL = 1e9  # a threshold that no score reaches


class DiffServe(Policy):
    name = "diffserve"
    source = (
        "Ahmad et al., DiffServe: Efficiently Serving Text-to-Image Diffusion Models with Query-Aware Model Scaling, "
        "MLSys 2025"
    )
    shared = False
    reviews_all = True

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self.share = 1.0  # of the requests that the last plan escalates

    def plan(self, observed: Observation) -> Epoch:
        device, known = most_common_device(observed), self.on_average(observed)
        seconds = dict(zip(self.levels, known.seconds(device), strict=True))
        able = known.profiles[device].ids
        heavy = max(able, key=lambda level: self.cluster.quality[self.index[level]])
        light = min(able, key=lambda level: seconds[level])
        first = stage(known, device, light, observed, observed.rate)
        second = stage(known, device, heavy, observed, observed.rate * self.share)
        share, k = self._most_escalated(first, second, observed.rate * HEADROOM, observed.workers[device])
        self.share = share
        workers = {d: {self._on(d, light, heavy): count} for d, count in observed.workers.items()}
        workers[device] = {light: k, heavy: observed.workers[device] - k}
        served = {"all": {light: observed.rate * 60, heavy: observed.rate * 60 * share}}
        plan = Plan("enumerated", 0.0, observed.rate * 60, 0.0, workers, served, {"all": 0.0}, {}, 0.0)
        extra = {
            "light": light,
            "heavy": heavy,
            "threshold": self._threshold(observed, light, heavy, share),
            "share": share,
        }
        return self.epoch(observed, plan, extra=extra)

    def _most_escalated(self, light: Stage, heavy: Stage, rate: float, workers: int) -> tuple[float, int]:
        """The largest share that can be escalated in time, and the light workers then."""
        best = (0.0, workers)
        for light_s, light_rate in light.sizes:
            k = max(1, math.ceil(rate / light_rate))
            for heavy_s, heavy_rate in heavy.sizes:
                in_time = light.wait_s + light_s + heavy.wait_s + heavy_s <= self.cluster.slo_s
                if in_time and k < workers:
                    best = max(best, (min(1.0, (workers - k) * heavy_rate / max(rate, 1e-6)), k))
        return best

    def route(self, request: Request, epoch: Epoch, state: LoadState) -> str:
        return str(epoch.extra["light"])

    def finished(self, request: Request, level: str, score: float, epoch: Epoch, state: LoadState) -> str | None:
        heavy = str(epoch.extra["heavy"])
        if request.attempt or level == heavy or score >= epoch.extra["threshold"] or not epoch.extra["share"]:
            return None
        left = request.deadline - state.now - self.margin
        return heavy if self.latencies.reachable([self.index[heavy]], left) else None

    def _threshold(self, observed: Observation, light: str, heavy: str, share: float) -> float:
        scores = light_scores(self.cluster, light, heavy, observed)
        if share >= 1:
            return ALL
        return float(np.quantile(scores, share)) if len(scores) else self.cluster.quality[self.index[light]]

    def _on(self, device: str, *levels: str) -> str:
        """The first of these levels that a type of device can run."""
        return next((lv for lv in levels if self.latencies.runs(device, self.index[lv])), levels[0])


policy = DiffServe
