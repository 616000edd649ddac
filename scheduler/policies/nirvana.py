"""NIRVANA: approximate caching by similarity alone, blind to load (Agarwal et al., NSDI 2024, §4.2 and table 2)."""

from __future__ import annotations

from core.similarity import published_share
from scheduler.policies.clipper_ha import ClipperHA
from scheduler.policies.decisions import Epoch, LoadState, Request


class Nirvana(ClipperHA):
    name = "nirvana"
    source = "Agarwal et al., Approximate Caching for Efficiently Serving Diffusion Models (NIRVANA), NSDI 2024"

    def route(self, request: Request, epoch: Epoch, state: LoadState) -> str:
        share = published_share(request.similarity)
        open_to = [lv for lv, skipped in self._skipped().items() if skipped <= share + 1e-9]
        return max(open_to, key=lambda lv: self._skipped()[lv], default=self.level())

    def _skipped(self) -> dict[str, float]:
        """Share of the steps that each caching level skips; profiles say the steps, or imply them by latency."""
        found = {}
        for profile in self.cluster.profiles.values():
            for level in profile.levels:
                if level.strategy in ("exact", "ac"):
                    found[level.id] = round(1 - level.latency_s / profile.reference.latency_s, 2)
        return found


policy = Nirvana
