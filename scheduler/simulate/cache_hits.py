"""The latent cache of the simulated world: which requests find a latent near enough, and what those are that find none.

As live (`scheduler.prediction.cache_lookup`, `workers.latent_cache`): policies are shown quality 0 at a level whose
latent is not near enough, and a request that is started there all the same runs from the deepest latent that is, or in
full. What that costs and keeps is the profile's and the prompt's at the level it is really drawn at.
"""

from __future__ import annotations

import numpy as np

from core.similarity import allows
from scheduler.policies import Cluster, Request
from scheduler.simulate.workload import Workload


class CacheHits:
    """By request and level, whether a cached latent can be used (N×L); with `any_hit` every one can."""

    def __init__(self, cluster: Cluster, work: Workload, any_hit: bool) -> None:
        self.cluster, self.rows = cluster, work.rows
        self.usable = np.ones((len(work.rows), len(cluster.levels)), bool)
        for level in cluster.ladders if not any_hit else ():
            self.usable[:, level] = allows(work.similarity, cluster.skipped[level])
        self.runs = {device: np.isfinite(cluster.latency(device)) for device in cluster.profiles}

    def shown(self, quality: np.ndarray) -> np.ndarray:
        """Qualities by prompt row (P×L) as policies see them by request (N×L): 0 where there is no latent."""
        return np.where(self.usable, quality[self.rows], 0.0)

    def drawn(self, request: Request, level: int, device: str) -> int:
        """The level that a request started at `level` is drawn at on this type of device."""
        drawn = self.cluster.drawn(level, self.usable[int(request.id)] & self.runs[device])
        return drawn if self.runs[device][drawn] else level
