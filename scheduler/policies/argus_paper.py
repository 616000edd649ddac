"""Argus as published: a predictor of how far each prompt can go, a solver for the loads, ODA to join the two.

The predictor names the deepest level that keeps a prompt's quality (within `KEEP`); the solver gives every level its
load share (one level a worker); the Optimized Distribution Aligner is a matrix of probabilities that moves surplus from
the deepest level upwards or pulls from the shallower ones, applied at random inside a predicted level. The draw hashes
prompt and epoch, so it is the same every time.
"""

from __future__ import annotations

import numpy as np

from scheduler.planning.pricing import uniform_draw
from scheduler.policies.base import Policy
from scheduler.policies.decisions import Epoch, LoadState, Observation, Request

KEEP = 0.95


class ArgusPaper(Policy):
    name = "argus-paper"
    source = "Argus: Quality-Aware High-Throughput Text-to-Image Inference Serving System, solver and ODA as published"
    shared = False

    def plan(self, observed: Observation) -> Epoch:
        plan = self.prompt_agnostic_plan(observed, self.demand(observed), 1.0 + observed.error)
        load = plan.load
        wanted = np.array([load.get(level, 0.0) for level in self.levels])
        wanted = wanted / wanted.sum() if wanted.sum() > 0 else np.eye(len(self.levels))[0]
        order = self._deepening()
        predicted = np.bincount([self._deepest(q) for q in observed.sample], minlength=len(order)).astype(float)
        predicted = predicted / predicted.sum() if predicted.sum() > 0 else wanted[order]
        return self.epoch(observed, plan, extra={"oda": oda(predicted, wanted[order]).tolist()})

    def route(self, request: Request, epoch: Epoch, state: LoadState) -> str:
        """The predicted level, moved by the matrix; never to a level that no worker serves."""
        order = self._deepening()
        row = np.cumsum(epoch.extra["oda"][self._deepest(request.quality)])
        place = int(
            np.searchsorted(row, uniform_draw(request.key, epoch.number) * row[-1], side="right").clip(
                max=len(order) - 1
            )
        )
        level = self.levels[order[place]]
        return level if epoch.workers.get(level) else self.next_in_turn(epoch, state)

    def _deepening(self) -> list[int]:
        """Level indices from the exact one to the deepest."""
        return sorted(range(len(self.levels)), key=lambda i: -self.cluster.quality[i])

    def _deepest(self, quality: tuple[float, ...] | np.ndarray) -> int:
        """Place (in deepening order) of the deepest level that keeps the prompt's quality."""
        order = self._deepening()
        return max((place for place, i in enumerate(order) if quality[i] >= KEEP), default=0)


def oda(predicted: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """ODA as published: row k says where prompts predicted at level k go. Both distributions from shallow to deep.

    From the deepest level k to 1: a surplus h_k > f_k moves to k−1 with probability (h_k − f_k)/h_k; a shortage is
    pulled from k−1, k−2, … as far as they have.
    """
    have = predicted.copy()
    matrix = np.eye(len(have))
    for k in range(len(have) - 1, 0, -1):
        if have[k] > wanted[k]:
            _move(matrix, have, k, k - 1, have[k] - wanted[k])
        for j in range(k - 1, -1, -1):
            short = wanted[k] - have[k]
            if short > 0 and have[j] > 0:
                _move(matrix, have, j, k, min(short, have[j]))
    return matrix


def _move(matrix: np.ndarray, have: np.ndarray, source: int, target: int, amount: float) -> None:
    probability = amount / have[source]
    matrix[:, target] += matrix[:, source] * probability
    matrix[:, source] *= 1 - probability
    have[source] -= amount
    have[target] += amount


policy = ArgusPaper
