"""MoDM: a mixture of models with an image cache; hits at a small model, misses at the large one (Xia et al., ASPLOS
2026, arXiv:2503.11972).

A prompt near a cached image starts from it, noised: of 50 steps it skips 5, 10, 15, 25 or 30 by five thresholds (Fig.
5). Hits go to a small model, or to the large one when that has nothing else; misses to the large one. The monitor
(Algorithm 1) gives the large model as many workers as leave hits nine tenths of the rest, approached through a PID
controller, and takes a smaller small model when the load asks for it.

Here the caching levels of a family are the image cache, and similarity is between prompts: its five thresholds are
NIRVANA's cosines. A hit at the large model takes the deepest level that it may; a small model without caching levels
draws hits in full. Where the profile has one model (the published one), that is all there is to choose: the mixture
has one part.
"""

from __future__ import annotations

import math

import numpy as np

from core.similarity import COSINES
from scheduler.planning.instance import Plan
from scheduler.policies.base import Policy
from scheduler.policies.cascades import most_common_device
from scheduler.policies.cluster import Cluster
from scheduler.policies.decisions import Epoch, LoadState, Observation, Request

SKIPS = (0.10, 0.20, 0.30, 0.50, 0.60)  # of the steps, above each of NIRVANA's five cosines
KEEP_FREE = 0.9  # of what the small workers and the rest of the large ones carry is what hits may need
KP, KI, KD, DT = 0.6, 0.05, 0.05, 3.0


class MoDM(Policy):
    name = "modm"
    source = "Xia et al., MoDM: Efficient Serving for Image Generation via Mixture-of-Diffusion Models, ASPLOS 2026"

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self.large_workers, self.integral, self.last_error = math.nan, 0.0, 0.0

    def over(self, cluster: Cluster) -> None:
        super().over(cluster)
        self.exact = max(range(len(self.levels)), key=self.cluster.quality.__getitem__)
        self.large = self.cluster.holds(self.levels[self.exact])
        full = {m: [i for i in of if i not in self.cluster.ladders] for m, of in self.cluster.models.items()}
        best = {m: max(of, key=self.cluster.quality.__getitem__) for m, of in full.items() if of and m != self.large}
        # A full level of each other model, the best first
        self.small = sorted(best.values(), key=lambda i: -self.cluster.quality[i])

    def plan(self, observed: Observation) -> Epoch:
        device = most_common_device(observed)
        n, seconds = observed.workers[device], self.cluster.seconds(device)
        small, large = self._mixture(observed, seconds, n)
        workers = {d: {self.large: count} for d, count in observed.workers.items()}
        if small is not None:
            k = round(self._controlled(large, n))
            workers[device] = {
                self.large: min(max(k, 1), n),
                self.cluster.holds(self.levels[small]): n - min(max(k, 1), n),
            }
        served = {"all": {self.levels[self.exact]: observed.rate * 60}}
        plan = Plan("monitor", 0.0, observed.rate * 60, 0.0, workers, served, {"all": 0.0}, {}, 0.0)
        return self.epoch(observed, plan, extra={"small": "" if small is None else self.levels[small]})

    def route(self, request: Request, epoch: Epoch, state: LoadState) -> str:
        """A miss to the large model; a hit to it when nobody waits there, else to the small one."""
        share = hit_share(request.similarity)
        at_large = self._deepest(self.exact, request.quality, share)
        small, known = epoch.extra["small"], at_large != self.exact or not self._ladder(self.exact)
        idle = not state.waiting.get(self.large, 0)
        if share and known and small and not idle and state.workers.get(self.cluster.holds(small), 0):
            return self.levels[self._deepest(self.index[small], request.quality, share)]
        return self.levels[at_large]

    def _mixture(self, observed: Observation, seconds: tuple[float, ...], n: int) -> tuple[int | None, int]:
        """The best small model with which all can be served (else the last), and the workers the large one gets."""
        mine = self._ladder(self.exact)
        hits = (observed.sample[:, mine] > 0).any(axis=1) if len(observed.sample) and mine else np.zeros(1, bool)
        missed = observed.rate * float(np.mean(~hits)) * seconds[self.exact]  # workers' worth
        found: tuple[int | None, int] = (None, n)
        for small in self.small:
            least = max(1, math.ceil(missed))
            asked = observed.rate * float(np.mean(hits)) * seconds[small]
            speedup = seconds[self.exact] / seconds[small]  # a large worker does so much less of it

            def free(large: int, speedup: float = speedup) -> float:
                return KEEP_FREE * ((large - missed) / speedup + n - large)

            able = [k for k in range(least, n + 1) if free(k) >= asked]
            found = (small, max(able, default=min(least, n)))
            if able:
                break
        return found

    def _controlled(self, target: int, n: int) -> float:
        """The large model's workers, a step of the controller nearer to the target."""
        if math.isnan(self.large_workers):
            self.large_workers = float(n)
        error = target - self.large_workers
        self.integral += error * DT
        step = KP * error + KI * self.integral + KD * (error - self.last_error) / DT
        self.last_error = error
        self.large_workers = float(np.clip(self.large_workers + np.clip(step, -n, n), 0, n))
        return self.large_workers

    def _ladder(self, full: int) -> list[int]:
        return [level for level, rungs in self.cluster.ladders.items() if rungs[0] == full]

    def _deepest(self, full: int, quality: tuple[float, ...], share: float) -> int:
        """The deepest caching level of a full one that the similarity allows and has a latent; the full one without."""
        skipped = self.cluster.skipped
        usable = [i for i in self._ladder(full) if quality[i] > 0 and skipped[i] <= share + 1e-9]
        return max(usable, key=skipped.__getitem__, default=full)


def hit_share(similarity: float) -> float:
    """Share of the steps that a prompt so near a cached one skips by MoDM's table; 0 is a miss."""
    return max((skip for skip, cosine in zip(SKIPS, COSINES, strict=False) if similarity > cosine), default=0.0)


policy = MoDM
