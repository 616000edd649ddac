"""Clipper at high accuracy: always the exact level (Crankshaw et al., NSDI 2017, as the Argus paper compares it)."""

from __future__ import annotations

from scheduler.planning.instance import PromptClass
from scheduler.planning.milp import solve
from scheduler.policies.base import Policy
from scheduler.policies.decisions import Epoch, LoadState, Observation, Request


class ClipperHA(Policy):
    name = "clipper-ha"
    source = "Crankshaw et al., Clipper, NSDI 2017; static high-accuracy variant"

    def level(self) -> str:
        return max(self.levels, key=lambda level: self.cluster.quality[self.index[level]])

    def plan(self, observed: Observation) -> Epoch:
        everyone = PromptClass(
            "all", observed.rate * 60, {self.level(): self.cluster.quality[self.index[self.level()]]}
        )
        return self.epoch(observed, solve(self.instance(observed, (everyone,))))

    def route(self, request: Request, epoch: Epoch, state: LoadState) -> str:
        return self.level()


policy = ClipperHA
