"""DiffServe: a light model first, a discriminator escalates what it is not sure of (Ahmad et al., MLSys 2025).

The MILP of §3.3 with two models is small enough to enumerate: for every number of light workers that carries all of the
demand, the heavy ones carry a share f of it; the largest f wins, and the threshold is the f-quantile of the
discriminator's recent scores.
"""

from __future__ import annotations

import numpy as np

from scheduler.planning.instance import Plan
from scheduler.policies.base import Policy
from scheduler.policies.decisions import Epoch, LoadState, Observation, Request

HEADROOM = 1.05


class DiffServe(Policy):
    name = "diffserve"
    source = "Ahmad et al., DiffServe: Efficiently Serving Text-to-Image Diffusion Models with Query-Aware Model Scaling, MLSys 2025"
    shared = False

    def plan(self, observed: Observation) -> Epoch:
        heavy = max(self.levels, key=lambda level: self.cluster.quality[self.index[level]])
        device = max(observed.workers, key=lambda d: observed.workers[d])
        seconds = dict(zip(self.levels, self.cluster.seconds(device), strict=True))
        light = min(self.levels, key=lambda level: seconds[level])
        n, rate = observed.workers[device], max(observed.rate * HEADROOM, 1e-6)
        able = [k for k in range(1, n + 1) if k / seconds[light] >= rate] or [n]
        share, k = max((min(1.0, (n - k) / seconds[heavy] / rate), k) for k in able)
        workers = {d: {self._on(d, light, heavy): count} for d, count in observed.workers.items()}
        workers[device] = {light: k, heavy: n - k}
        served = {"all": {light: observed.rate * 60, heavy: observed.rate * 60 * share}}
        plan = Plan("enumerated", 0.0, observed.rate * 60, 0.0, workers, served, {"all": 0.0}, {}, 0.0)
        threshold = (
            float(np.quantile(observed.scores, share))
            if len(observed.scores)
            else self.cluster.quality[self.index[light]]
        )
        extra = {"light": light, "heavy": heavy, "threshold": threshold if share < 1 else 1.0, "share": share}
        return self.epoch(observed, plan, extra=extra)

    def _on(self, device: str, *levels: str) -> str:
        """The first of these levels that a type of device can run."""
        return next((lv for lv in levels if self.latencies.runs(device, self.index[lv])), levels[0])

    def route(self, request: Request, epoch: Epoch, state: LoadState) -> str:
        return epoch.extra["light"]

    def finished(self, request: Request, level: str, score: float, epoch: Epoch, state: LoadState) -> str | None:
        sure = level != epoch.extra["light"] or score >= epoch.extra["threshold"] or not epoch.extra["share"]
        return None if sure else epoch.extra["heavy"]


policy = DiffServe
