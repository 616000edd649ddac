"""Figures of a policy over several seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.scheduler.intervals import figure
from bench.scheduler.setup import EXACT_CAPACITY
from scheduler.simulate import Report

MEANS = (
    *("violation_rate", "goodput_per_minute", "quality_mean", "quality_lost", "latency_p50_s", "latency_p99_s"),
    *("quality_in_time", "lost_in_time"),
)


def pooled(reports: Sequence[Report], exact: float = EXACT_CAPACITY) -> dict[str, Any]:
    """Figures over several seeds: sums of counts, means weighted by what they are of; `by_seed` has each seed's own.

    `exact`: requests a minute with all workers at the exact level.
    """
    bursts = [in_burst(report, exact) for report in reports]
    seeds: dict[str, list[float]] = {
        **{key: [report.figures[key] for report in reports] for key in ("requests", "served", "violations", *MEANS)},
        "in_time": [report.figures["requests"] - report.figures["violations"] for report in reports],
        "burst_per_minute": [in_time / max(1, minutes) for in_time, minutes in bursts],
        "burst_minutes": [minutes for _, minutes in bursts],
    }
    kept = {"by_seed": {key: [_short(value) for value in values] for key, values in seeds.items()}}
    return {
        **{key: int(sum(seeds[key])) for key in ("requests", "served", "violations")},
        **{key: float(figure({"by_seed": seeds}, key)[0]) for key in (*MEANS, "burst_per_minute")},
        "seconds": max(report.seconds for report in reports),
        **(kept if len(reports) > 1 else {}),
    }


def in_burst(report: Report, exact: float) -> tuple[float, int]:
    """Requests in time of those that arrive in minutes of more than the workers carry at exact, and these minutes."""
    in_time, minutes = 0.0, 0
    for demand, late in zip(report.timeline["demand"], report.timeline["violations"], strict=True):
        if demand > exact:
            in_time, minutes = in_time + demand - late, minutes + 1
    return in_time, minutes


def _short(value: float) -> float:
    return float(f"{value:.7g}")
