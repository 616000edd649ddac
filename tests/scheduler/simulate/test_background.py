"""Batch work and what missed its deadline, simulated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scheduler.policies import Cluster, Request
from scheduler.policies.argus import Argus
from scheduler.simulate import SimConfig, simulate
from tests.scheduler.policies.small_cluster import SLO, profile
from tests.scheduler.simulate.small_runs import run, steady


def test_batch_work_fills_idle_time_at_the_best_level_and_takes_none_from_interactive_work() -> None:
    alone = steady(0.6, 150.0, batch_share=0.0)
    extra = np.linspace(0, 149, 75)
    times = np.concatenate([alone.times, extra])
    order = np.argsort(times, kind="stable")
    both = replace(
        alone,
        times=times[order],
        rows=np.concatenate([alone.rows, np.zeros(75, int)])[order],
        similarity=np.zeros(len(times)),
        batch=np.concatenate([np.zeros(len(alone.times), bool), np.ones(75, bool)])[order],
    )
    plain, mixed = run("argus", alone), run("argus", both)
    assert mixed.figures == plain.figures
    assert mixed.batch["served"] == 75
    assert mixed.batch["quality_mean"] == 1
    assert mixed.ticks["evictions"] > 0


def test_a_batch_window_is_a_deadline_also_when_there_is_no_idle_capacity() -> None:
    """85 % interactive and 8 % batch work on top, all of it at the cheapest level: nobody need be late."""
    work = steady(0.93, 900.0, batch_share=0.08 / 0.93)
    report = run("argus", work, batch_window_s=200.0)
    assert report.batch["requests"] > 200
    assert report.batch["late"] <= 0.01 * report.batch["requests"]
    assert report.figures["violation_rate"] <= 0.005
    patient = run("argus", work, batch_window_s=86_400.0)
    assert patient.batch["quality_mean"] > report.batch["quality_mean"]  # with time, batch work gets the best level


def test_in_an_overload_that_lasts_what_missed_its_deadline_is_served_all_the_same() -> None:
    """At 130 % for half an hour there is never an idle worker; the first to be set apart are served before the end."""
    work = steady(1.3, 1800.0)
    finished: list[tuple[float, float]] = []

    class Watched(Argus):
        def finished(self, request: Request, level: str, *rest: object) -> None:
            finished.append((request.arrived, rest[2].now))  # type: ignore[attr-defined]

    config = SimConfig("argus", {"a100": profile()}, {"a100": 8}, SLO)
    simulate(config, work, Watched(Cluster(config.profiles, SLO)))
    long_late = [now - arrived for arrived, now in finished if now < 1800.0 and now - arrived > 5 * SLO]
    assert len(long_late) > 10
    assert min(long_late) > 10 * SLO
