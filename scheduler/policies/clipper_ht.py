"""Clipper at high throughput: always the cheapest level (Crankshaw et al., NSDI 2017)."""

from __future__ import annotations

from scheduler.policies.clipper_ha import ClipperHA


class ClipperHT(ClipperHA):
    name = "clipper-ht"
    source = "Crankshaw et al., Clipper, NSDI 2017; static high-throughput variant"

    def level(self) -> str:
        """The cheapest that all types of device can run; where there is none, the cheapest."""
        of_all = [
            lv for i, lv in enumerate(self.levels) if all(self.latencies.runs(d, i) for d in self.latencies.alone)
        ]
        seconds = self.latencies.seconds.values()
        return min(of_all or self.levels, key=lambda lv: min(by[self.index[lv]] for by in seconds))


policy = ClipperHT
