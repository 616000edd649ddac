"""Clipper at high accuracy: always the exact level (Crankshaw et al., NSDI 2017, as the Argus paper compares it)."""

from __future__ import annotations

from scheduler.planning.instance import PromptClass
from scheduler.planning.milp import solve
from scheduler.policies import Epoch, Observation, Policy, Request, Scene


class ClipperHA(Policy):
    name = "clipper-ha"
    source = "Crankshaw et al., Clipper, NSDI 2017; static high-accuracy variant"

    def level(self) -> str:
        return max(self.levels, key=lambda level: self.cluster.quality[self.index[level]])

    def plan(self, seen: Observation) -> Epoch:
        everyone = PromptClass("all", seen.rate * 60, {self.level(): self.cluster.quality[self.index[self.level()]]})
        return self.epoch(seen, solve(self.instance(seen, (everyone,))))

    def route(self, request: Request, epoch: Epoch, scene: Scene) -> str:
        return self.level()


policy = ClipperHA
