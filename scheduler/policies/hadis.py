"""HADIS: hard prompts go straight to a heavy model, the others through a cascade (Yang et al., MLSys 2026,
arXiv:2509.00642).

A configuration is a pair of models with a router threshold (the share of prompts, the hardest, that go to the heavy
one) and a discriminator threshold (the share of the light one's images that are drawn again). Their quality is tabled
offline, on a grid of tenths; at runtime the best is taken whose stages carry 1.05 × the demand and whose executions
and waits (Little's law, × 1.2) fit into the target. Here the router is our predictor instead of rules over words, and
the table is made of recent prompts: true scores scatter around predictions as recent ones do. Where nothing fits, all
are drawn at the cheapest level. An image is drawn again only while the heavy model can still be in time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from statistics import NormalDist

import numpy as np

from scheduler.planning.instance import Plan
from scheduler.policies.base import Policy
from scheduler.policies.cascades import Stage, light_scores, most_common_device, stage
from scheduler.policies.decisions import Epoch, LoadState, Observation, Request

HEADROOM, CAUTION = 1.05, 1.2
GRID = tuple(k / 10 for k in range(11))
NEVER = 1e9  # no prompt loses so much, no image scores so little
SCATTER = tuple(NormalDist().inv_cdf((k + 0.5) / 5) for k in range(5))


@dataclass(frozen=True)
class Configuration:
    """`hard` of the prompts start at `heavy`, the others at `light`, of which `unsure` are drawn again at `heavy`."""

    light: str
    heavy: str
    hard: float = 0.0
    unsure: float = 0.0

    @property
    def heavy_share(self) -> float:
        return self.hard + (1 - self.hard) * self.unsure


class Hadis(Policy):
    name = "hadis"
    source = "Yang et al., HADIS: Hybrid Adaptive Diffusion Model Serving, MLSys 2026"
    shared = False
    reviews_all = True

    def plan(self, observed: Observation) -> Epoch:
        device, known = most_common_device(observed), self.on_average(observed)
        rate, n = observed.rate * HEADROOM, observed.workers[device]
        able = sorted(known.profiles[device].ids, key=lambda level: known.seconds(device)[self.index[level]])
        stages = {level: stage(known, device, level, observed, observed.rate) for level in able}
        sample = observed.sample if len(observed.sample) else np.array([self.cluster.quality])
        best, quality, workers = Configuration(able[0], able[0]), -1.0, {able[0]: n}
        for light, heavy in ((a, b) for i, a in enumerate(able) for b in able[i + 1 :]):
            table = self._table(sample, light, heavy, observed)
            for (hard, unsure), expected in table.items():
                asked = Configuration(light, heavy, hard, unsure)
                found = self._allocated(asked, stages, rate, n) if expected > quality + 1e-9 else None
                if found:
                    best, quality, workers = asked, expected, found
        everywhere = {d: {self._runnable(d, best.light): count} for d, count in observed.workers.items()}
        served = {best.light: 60 * observed.rate * (1 - best.hard), best.heavy: 60 * observed.rate * best.heavy_share}
        everywhere[device] = workers
        plan = Plan("table", 0.0, observed.rate * 60, 0.0, everywhere, {"all": served}, {"all": 0.0}, {}, 0.0)
        return self.epoch(observed, plan, extra=self._thresholds(best, sample, observed))

    def route(self, request: Request, epoch: Epoch, state: LoadState) -> str:
        light, heavy = str(epoch.extra["light"]), str(epoch.extra["heavy"])
        lost = request.quality[self.index[heavy]] - request.quality[self.index[light]]
        return heavy if lost > epoch.extra["hard"] and epoch.workers.get(heavy) else light

    def finished(self, request: Request, level: str, score: float, epoch: Epoch, state: LoadState) -> str | None:
        heavy = str(epoch.extra["heavy"])
        final = request.attempt or level == heavy or score >= epoch.extra["unsure"]
        if final or not epoch.workers.get(heavy):
            return None
        left = request.deadline - state.now - self.margin
        return heavy if self.latencies.reachable([self.index[heavy]], left) else None

    def _table(
        self, sample: np.ndarray, light: str, heavy: str, observed: Observation
    ) -> dict[tuple[float, float], float]:
        """Expected quality of a pair by router and discriminator share; a light image is no better than a heavy one."""
        low, high = (sample[:, self.index[level]] for level in (light, heavy))
        scatter = self._scatter(light_scores(self.cluster, light, heavy, observed), low) * np.array(SCATTER)
        hardest = np.argsort(low - high, kind="stable")
        found = {}
        for hard in reversed(GRID):  # of equals, the one that draws least twice
            k = round(hard * len(sample))
            straight, through = hardest[:k], hardest[k:]
            true = low[through][:, None] + scatter
            true = np.minimum(true, high[through][:, None])
            order = np.argsort(true, axis=None, kind="stable")
            scores, instead = true.ravel()[order], np.repeat(high[through], len(SCATTER))[order]
            drawn_again = np.concatenate([[0.0], np.cumsum(instead - scores)])
            for unsure in GRID:
                drawn = (scores.sum() + drawn_again[round(unsure * len(scores))]) / len(SCATTER)
                found[hard, unsure] = float(high[straight].sum() + drawn) / len(sample)
        return found

    def _scatter(self, scores: Sequence[float], predicted: np.ndarray) -> float:
        """How far true scores scatter around predictions; until there are some, as far as predictions do."""
        if len(scores) < len(GRID):
            return float(predicted.std())
        return math.sqrt(max(0.0, float(np.var(scores)) - float(predicted.var())))

    def _allocated(self, asked: Configuration, stages: dict[str, Stage], rate: float, n: int) -> dict[str, int] | None:
        """Fewest workers at each stage, the rest where most is to do; None where they or the time do not suffice."""
        loads = {asked.light: rate * (1 - asked.hard), asked.heavy: rate * asked.heavy_share}
        used = [level for level, load in loads.items() if load > 0] or [asked.light]
        for sizes in product(*(stages[level].sizes for level in used)):
            needed = {lv: max(1, math.ceil(loads[lv] / per_s)) for lv, (_, per_s) in zip(used, sizes, strict=True)}
            takes = sum(s + CAUTION * stages[lv].wait_s for lv, (s, _) in zip(used, sizes, strict=True))
            if sum(needed.values()) <= n and takes <= self.cluster.slo_s:
                busiest = max(needed, key=lambda level: loads[level] / needed[level])
                return {**needed, busiest: needed[busiest] + n - sum(needed.values())}
        return None

    def _thresholds(self, best: Configuration, sample: np.ndarray, observed: Observation) -> dict[str, float | str]:
        low, high = (sample[:, self.index[level]] for level in (best.light, best.heavy))
        scores = light_scores(self.cluster, best.light, best.heavy, observed)
        known = scores if len(scores) else low
        return {
            "light": best.light,
            "heavy": best.heavy,
            "hard": _cut(high - low, 1 - best.hard),
            "unsure": -_cut(-np.asarray(known), 1 - best.unsure),
        }

    def _runnable(self, device: str, level: str) -> str:
        """This level, or the first that a type of device can run."""
        able = self.cluster.profiles[device].ids
        return level if level in able else able[0]


def _cut(values: np.ndarray, share: float) -> float:
    """The value that this share of the values does not exceed: one above all of them, or below all, at the ends."""
    return NEVER if share >= 1 else -NEVER if share <= 0 else float(np.quantile(values, share))


policy = Hadis
