"""Figures over seeds, and the processes that make them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.scheduler.bounds import bounds
from bench.scheduler.intervals import figure
from bench.scheduler.parallel import over_seeds
from bench.scheduler.pooling import pooled
from bench.scheduler.setup import Setup
from core.profiles import Profile, QualityTable
from scheduler.simulate import Report, synthetic_quality
from tests.scheduler.policies.small_cluster import profile
from traces.reader import Trace


class Small(Setup):
    """The small cluster's profile with synthetic prompts."""

    @property
    def profile(self) -> Profile:  # type: ignore[override]
        return profile()

    @property
    def quality(self) -> QualityTable:  # type: ignore[override]
        return synthetic_quality(profile(), 1)


def report(requests: int, late: int, lost: float) -> Report:
    figures = dict.fromkeys(
        ("goodput_per_minute", "quality_mean", "quality_lost", "latency_p50_s", "latency_p99_s"), 0.0
    )
    counts = {"requests": requests, "served": requests, "violations": late, "violation_rate": late / requests}
    timeline = {"demand": [100.0, 130.0], "violations": [0.0, float(late)]}
    return Report("argus", {**figures, **counts, "quality_in_time": 1 - lost, "lost_in_time": lost}, timeline, 1.0)


def test_a_figure_of_what_was_in_time_counts_by_what_was_in_time() -> None:
    found = pooled([report(200, 100, 0.1), report(300, 0, 0.02)], exact=120.0)
    assert found["violations"] == 100
    assert found["violation_rate"] == pytest.approx(0.2)
    assert found["lost_in_time"] == pytest.approx((100 * 0.1 + 300 * 0.02) / 400)
    assert found["burst_per_minute"] == pytest.approx((30 + 130) / 2)
    assert len(figure(found, "lost_in_time")) > 1
    assert len(figure(pooled([report(200, 100, 0.1)]), "lost_in_time")) == 1  # no interval


def test_runs_in_processes_are_those_of_one_process_in_the_same_order() -> None:
    trace, policies = Trace("steady", 180.0, np.zeros(1), np.full(1, 180.0), np.full(1, 600.0)), ("clipper-ht", "argus")
    alone, shared = (
        over_seeds(Small(Path(), 1, (1, 2), jobs, measured=False), policies, trace, (1, 2)) for jobs in (1, 2)
    )
    assert {p: [r.figures for r in runs] for p, runs in alone.items()} == {
        p: [r.figures for r in runs] for p, runs in shared.items()
    }
    assert alone["argus"][0].figures != alone["argus"][1].figures
    least = bounds(Small(Path(), 1, measured=False), trace, (1, 2), {"argus": alone["argus"]})
    assert least["argus"]["lost_in_time"] <= pooled(alone["argus"])["lost_in_time"]
