"""DiffServe: a light model first, a discriminator escalates what it is not sure of (Ahmad et al., MLSys 2025).

The MILP of §3.3 with two models is small enough to enumerate: for every number of light workers that carries all of the
demand, the heavy ones carry a share f of it; the largest f wins, and the threshold is the f-quantile of the
discriminator's scores of the light model's recent images (those of the heavy model say nothing about the light one's).
An image is escalated only while the heavy model can still be in time; otherwise the light image is the answer.
"""

from __future__ import annotations

import numpy as np

from scheduler.planning.instance import Plan
from scheduler.policies.base import Policy
from scheduler.policies.decisions import Epoch, LoadState, Observation, Request

HEADROOM = 1.05
ALL = 1e9  # a threshold that no score reaches


class DiffServe(Policy):
    name = "diffserve"
    source = (
        "Ahmad et al., DiffServe: Efficiently Serving Text-to-Image Diffusion Models with Query-Aware Model Scaling, "
        "MLSys 2025"
    )
    shared = False
    reviews_all = True

    def plan(self, observed: Observation) -> Epoch:
        heavy = max(self.levels, key=lambda level: self.cluster.quality[self.index[level]])
        device = max(observed.workers, key=lambda d: observed.workers[d])
        seconds = dict(zip(self.levels, self.latencies.seconds[device], strict=True))
        light = min(self.levels, key=lambda level: seconds[level])
        n, rate = observed.workers[device], max(observed.rate * HEADROOM, 1e-6)
        able = [k for k in range(1, n + 1) if k / seconds[light] >= rate] or [n]
        share, k = max((min(1.0, (n - k) / seconds[heavy] / rate), k) for k in able)
        workers = {d: {self._on(d, light, heavy): count} for d, count in observed.workers.items()}
        workers[device] = {light: k, heavy: n - k}
        served = {"all": {light: observed.rate * 60, heavy: observed.rate * 60 * share}}
        plan = Plan("enumerated", 0.0, observed.rate * 60, 0.0, workers, served, {"all": 0.0}, {}, 0.0)
        extra = {"light": light, "heavy": heavy, "threshold": self._threshold(observed, light, share), "share": share}
        return self.epoch(observed, plan, extra=extra)

    def route(self, request: Request, epoch: Epoch, state: LoadState) -> str:
        return str(epoch.extra["light"])

    def finished(self, request: Request, level: str, score: float, epoch: Epoch, state: LoadState) -> str | None:
        light, heavy = str(epoch.extra["light"]), str(epoch.extra["heavy"])
        if level != light or score >= epoch.extra["threshold"] or not epoch.extra["share"]:
            return None
        left = request.deadline - state.now - self.margin
        return heavy if self.latencies.reachable([self.index[heavy]], left) else None

    def _threshold(self, observed: Observation, light: str, share: float) -> float:
        scores = observed.scores.get(light, ())
        if share >= 1:
            return ALL
        return float(np.quantile(scores, share)) if len(scores) else self.cluster.quality[self.index[light]]

    def _on(self, device: str, *levels: str) -> str:
        """The first of these levels that a type of device can run."""
        return next((lv for lv in levels if self.latencies.runs(device, self.index[lv])), levels[0])


policy = DiffServe
