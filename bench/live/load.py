"""What arrives: the minutes around the burst of a trace, scaled, with prompts and seeds; the same for every policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from traces.reader import Trace
from traces.replay.plan import Planned, plan

TRACE = "twitter-burst-hour.csv"


@dataclass(frozen=True)
class Load:
    """What arrives, the same for every policy. Rates in requests a minute."""

    window: Trace
    start_s: float
    planned: list[Planned]
    sample: list[int]  # places in `planned` whose quality is measured

    @property
    def mean(self) -> float:
        """Of the trace's shape; the draw has about as many."""
        return 60 * float(self.window.counts.sum()) * self.window.scale / self.window.duration_s

    @property
    def busiest(self) -> float:
        return float(self.window.minutes.max())


def burst(trace: Trace, seconds: float) -> float:
    """Where the window of so many seconds with the most arrivals begins."""
    starts = np.arange(0.0, max(trace.duration_s - seconds, 0.0) + 1)
    until = np.concatenate([[0.0], np.cumsum(trace.counts)])
    at = np.append(trace.starts, trace.starts[-1] + trace.widths[-1])
    inside = np.interp(starts + seconds, at, until) - np.interp(starts, at, until)
    return float(starts[inside.argmax()])


def make_load(trace: Trace, seconds: float, per_minute: float, prompts: Sequence[str], seed: int, sample: int) -> Load:
    """The burst of the trace with so many requests a minute on the mean, and whose quality will be measured."""
    start = burst(trace, seconds)
    window = trace.window(start, seconds)
    window = replace(window, scale=per_minute * window.duration_s / 60 / float(window.counts.sum()))
    planned = plan(window.arrivals(seed), prompts, None, seed)
    chosen = np.random.default_rng(seed).choice(len(planned), min(sample, len(planned)), replace=False)
    return Load(window, start, planned, sorted(int(place) for place in chosen))
