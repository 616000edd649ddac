"""PAC, the prompt-agnostic ceiling: the exact optimum over levels, one level a worker, without knowing prompts.

The Argus paper's strongest baseline (its solver without its predictor). To be an honest one it gets what Argus gets:
the same forecast, headroom and backlog term, and requests spread over the levels by a smooth weighted round robin,
which is kinder to it than a random draw.
"""

from __future__ import annotations

from scheduler.policies.base import Policy
from scheduler.policies.decisions import Epoch, LoadState, Observation, Request


class Pac(Policy):
    name = "pac"
    source = "Argus paper, prompt-agnostic solver (PAC)"
    shared = False

    def plan(self, observed: Observation) -> Epoch:
        return self.epoch(observed, self.prompt_agnostic_plan(observed, self.demand(observed), 1.0 + observed.error))

    def route(self, request: Request, epoch: Epoch, state: LoadState) -> str:
        return self.next_in_turn(epoch, state)


policy = Pac
