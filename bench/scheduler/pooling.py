"""Figures of a policy over several seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.scheduler.intervals import figure
from bench.scheduler.setup import EXACT_CAPACITY
from scheduler.simulate import Report

COUNTS = ("requests", "served", "violations")
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
        **{key: [report.figures[key] for report in reports] for key in (*COUNTS, *MEANS)},
        "in_time": [report.figures["requests"] - report.figures["violations"] for report in reports],
        "burst_per_minute": [in_time / max(1, minutes) for in_time, minutes in bursts],
        "burst_minutes": [minutes for _, minutes in bursts],
        "seconds": [report.seconds for report in reports],
    }
    by_seed = {key: [_short(value) for value in values] for key, values in seeds.items()}
    return {**totals(by_seed), "by_seed": by_seed}


def totals(by_seed: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """What is pooled from the figures of each seed, of those that there are."""
    means = (*MEANS, "burst_per_minute")
    return {
        **{key: int(sum(by_seed[key])) for key in COUNTS if key in by_seed},
        **{key: float(figure({"by_seed": by_seed}, key)[0]) for key in means if key in by_seed},
        **{key: max(by_seed[key]) for key in ("seconds",) if key in by_seed},
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
