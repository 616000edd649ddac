"""Clipper at high throughput: always the cheapest level (Crankshaw et al., NSDI 2017)."""

from __future__ import annotations

from scheduler.policies.clipper_ha import ClipperHA


class ClipperHT(ClipperHA):
    name = "clipper-ht"
    source = "Crankshaw et al., Clipper, NSDI 2017; static high-throughput variant"

    def level(self) -> str:
        return min(
            self.levels, key=lambda lv: min(self.cluster.seconds(d)[self.index[lv]] for d in self.cluster.profiles)
        )


policy = ClipperHT
