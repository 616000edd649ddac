"""Proteus: prompt-agnostic MILP over model variants (Ahmad et al., ASPLOS 2024).

Demand is an EWMA of what came, over-provisioned by β = 1.05; where that cannot be served, β is lowered step by step
(§5). Its variants are models, so a worker that changes variant loads weights. Batching is the worker's.
"""

from __future__ import annotations

from scheduler.policies.base import Policy
from scheduler.policies.cluster import Cluster
from scheduler.policies.decisions import Epoch, LoadState, Observation, Request

BETAS = (1.05, 1.03, 1.01, 1.0)
EWMA = 0.5  # a tick


class Proteus(Policy):
    name = "proteus"
    source = "Ahmad et al., Proteus: A High-Throughput Inference-Serving System with Accuracy Scaling, ASPLOS 2024"
    shared = False

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self.ewma: float | None = None

    def plan(self, observed: Observation) -> Epoch:
        last = observed.rate if self.ewma is None else self.ewma
        self.ewma = last + EWMA * (observed.rate - last)
        for beta in BETAS:
            plan = self.prompt_agnostic_plan(observed, self.ewma * 60, beta)
            if plan.shed["all"] < 1e-3:
                break
        return self.epoch(observed, plan)

    def route(self, request: Request, epoch: Epoch, state: LoadState) -> str:
        return self.next_in_turn(epoch, state)


policy = Proteus
