"""Proteus: prompt-agnostic MILP over model variants (Ahmad et al., ASPLOS 2024).

Demand is an EWMA of what came, over-provisioned by β = 1.05; where that cannot be served, β is lowered step by step
(§5). Its variants are models, so a worker that changes variant loads weights. Batching is the worker's.
"""

from __future__ import annotations

from scheduler.policies import Cluster, Epoch, Observation, Policy, Request, Scene

BETAS = (1.05, 1.03, 1.01, 1.0)
EWMA = 0.5  # a tick


class Proteus(Policy):
    name = "proteus"
    source = "Ahmad et al., Proteus: A High-Throughput Inference-Serving System with Accuracy Scaling, ASPLOS 2024"
    shared = False
    variants = True

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self.ewma: float | None = None

    def plan(self, seen: Observation) -> Epoch:
        last = seen.rate if self.ewma is None else self.ewma
        self.ewma = last + EWMA * (seen.rate - last)
        for beta in BETAS:
            plan = self.agnostic(seen, self.ewma * 60, beta)
            if plan.shed["all"] < 1e-3:
                break
        return self.epoch(seen, plan)

    def route(self, request: Request, epoch: Epoch, scene: Scene) -> str:
        return self.least_served(epoch, scene)


policy = Proteus
