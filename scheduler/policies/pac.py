"""PAC, the prompt-agnostic ceiling: the exact optimum over levels, one level a worker, without knowing prompts.

The Argus paper's strongest baseline (its solver without its predictor). To be an honest one it gets what Argus gets:
the same forecast, headroom and backlog term, and requests spread over the levels by a smooth weighted round robin,
which is kinder to it than a random draw.
"""

from __future__ import annotations

from scheduler.policies import Epoch, Observation, Policy, Request, Scene


class Pac(Policy):
    name = "pac"
    source = "Argus paper, prompt-agnostic solver (PAC)"
    shared = False

    def plan(self, seen: Observation) -> Epoch:
        return self.epoch(seen, self.agnostic(seen, self.demand(seen), 1.0 + seen.error))

    def route(self, request: Request, epoch: Epoch, scene: Scene) -> str:
        return self.least_served(epoch, scene)


policy = Pac
