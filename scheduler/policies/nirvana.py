"""NIRVANA: approximate caching by similarity alone, blind to load (Agarwal et al., NSDI 2024, §4.2 and table 2)."""

from __future__ import annotations

from core.similarity import published_share
from scheduler.policies.clipper_ha import ClipperHA
from scheduler.policies.decisions import Epoch, LoadState, Request


class Nirvana(ClipperHA):
    name = "nirvana"
    source = "Agarwal et al., Approximate Caching for Efficiently Serving Diffusion Models (NIRVANA), NSDI 2024"

    def route(self, request: Request, epoch: Epoch, state: LoadState) -> str:
        return self.deepest(request, published_share(request.similarity))

    def deepest(self, request: Request, share: float) -> str:
        """The caching level of the exact level's model that skips most, up to this share of the steps."""
        exact, skipped = self.index[self.level()], self.cluster.skipped
        usable = [i for i, rungs in self.cluster.ladders.items() if rungs[0] == exact and skipped[i] <= share + 1e-9]
        return self.levels[max((i for i in usable if request.quality[i] > 0), key=skipped.__getitem__, default=exact)]


policy = Nirvana
