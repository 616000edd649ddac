"""Figures of a policy over several seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.scheduler.setup import EXACT_CAPACITY
from scheduler.simulate import Report


def pooled(reports: Sequence[Report], exact: float = EXACT_CAPACITY) -> dict[str, float]:
    """Figures over several seeds: sums of counts, means weighted by requests. `exact`: all workers at it, a minute."""
    keys = ("violation_rate", "goodput_per_minute", "quality_mean", "quality_lost", "latency_p50_s", "latency_p99_s")
    weights = [r.figures["requests"] for r in reports]
    in_time = [r.figures["requests"] - r.figures["violations"] for r in reports]
    kept = [r.figures["quality_in_time"] for r in reports]
    counts = {key: int(sum(r.figures[key] for r in reports)) for key in ("requests", "served", "violations")}
    means = {key: float(np.average([r.figures[key] for r in reports], weights=weights)) for key in keys}
    return {
        **counts,
        **means,
        "quality_in_time": float(np.average(kept, weights=in_time)) if any(in_time) else 0.0,
        "burst_per_minute": in_burst(reports, exact),
        "seconds": max(r.seconds for r in reports),
    }


def in_burst(reports: Sequence[Report], exact: float) -> float:
    """Requests in time a minute, of those that arrive in minutes of more than the workers carry at the exact level."""
    in_time, minutes = 0.0, 0
    for r in reports:
        for demand, late in zip(r.timeline["demand"], r.timeline["violations"], strict=True):
            if demand > exact:
                in_time, minutes = in_time + demand - late, minutes + 1
    return in_time / max(1, minutes)
