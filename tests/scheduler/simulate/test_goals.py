"""The goals that the simulator exists to check, in small."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.profiles import Profile, parse_profile, read_profile, read_quality
from core.settings import ROOT
from scheduler.simulate import SimConfig, simulate, synthetic_quality, workload
from scheduler.simulate.bound import fewest_late
from tests.scheduler.policies.small_cluster import SLO
from tests.scheduler.simulate.small_runs import run, steady
from traces.reader import Trace


def test_argus_meets_the_target_at_90_percent_and_loses_less_than_the_cheapest_level() -> None:
    work = steady(0.9, 300.0)
    argus, cheapest, exact = (run(name, work).figures for name in ("argus", "clipper-ht", "clipper-ha"))
    assert argus["violation_rate"] <= 0.001
    assert argus["quality_lost"] < 0.85 * cheapest["quality_lost"]
    assert exact["violation_rate"] > 0.4


def test_above_capacity_deferring_unreachable_deadlines_is_near_the_fewest_possible() -> None:
    work = steady(1.3, 180.0)
    least = fewest_late(work.times, 8, 2.1, SLO)
    for name in ("argus", "clipper-ht", "pac"):  # fairly: all of them may
        late, queueing = (run(name, work, admission_control=may).figures["violations"] for may in (True, False))
        assert least <= late <= 1.1 * least
        assert queueing > 2 * late


def several_models() -> Profile:
    """Three models on CPUs that gain by batching: exact and two cheaper levels on `large`, one on `turbo`."""

    def level(name: str, model: str, steps: int, quality: float) -> dict:
        batch = [{"size": n, "step_s": s} for n, s in ((1, 0.05), (2, 0.08), (4, 0.14))]
        return {
            "id": name,
            "strategy": "fs",
            "model": model,
            "requests_per_minute": 60 * 4 / (0.14 * steps + 0.1),
            "latency_s": 0.05 * steps + 0.1,
            "quality": quality,
            "batch": batch,
            "load_s": 0.3,
        }

    levels = [level("exact", "large", 24, 1.0), level("fs-12", "large", 12, 0.97), level("fs-8", "large", 8, 0.93)]
    return parse_profile({"family": "f", "device": "cpu", "levels": [*levels, level("fs-4", "turbo", 4, 0.94)]})


@pytest.mark.parametrize("load", [1.2, 2.5])
def test_two_batching_workers_with_several_models_meet_the_target_above_exact_capacity(load: float) -> None:
    device = several_models()
    rate = load * 2 * device.level("exact").requests_per_minute / 60
    trace = Trace("step", 240.0, np.array([0.0, 60.0]), np.array([60.0, 180.0]), np.array([15.0, 180 * rate]))
    work = workload(trace, synthetic_quality(device, 1), device.ids, 1, 0.2)
    base = SimConfig("argus", {"cpu": device}, {"cpu": 2}, 3 * device.reference.latency_s)
    argus, exact, pac = (simulate(replace(base, policy=name), work).figures for name in ("argus", "clipper-ha", "pac"))
    assert argus["violation_rate"] < 0.01
    assert argus["violation_rate"] < min(exact["violation_rate"], pac["violation_rate"])
    assert argus["quality_mean"] > pac["quality_mean"]


@pytest.mark.parametrize(("load", "exact"), [(0.1, 0.99), (0.3, 0.97), (0.6, 0.9)])
def test_a_lightly_loaded_cpu_draws_nearly_everything_exactly(load: float, exact: float) -> None:
    """The embedded family by its own profile and quality table, one worker, the least target for people who wait."""
    device = read_profile(ROOT / "profiles" / "embedded" / "cpu.json")
    table = read_quality(ROOT / "profiles" / "embedded" / "quality.csv").select(device.ids)
    requests = load * device.reference.requests_per_minute * 5
    trace = Trace("steady", 300.0, np.zeros(1), np.full(1, 300.0), np.full(1, requests))
    work = workload(trace, table, device.ids, 3, 0.3)
    figures = simulate(SimConfig("argus", {"cpu": device}, {"cpu": 1}, 2.0), work).figures
    assert figures["levels"]["exact"] >= exact
    assert figures["violation_rate"] <= 0.005


def test_above_capacity_letting_go_works_in_batches_too() -> None:
    """Twice what eight workers carry in batches of two: half must be late, and nobody starts to make others late."""
    batch = [{"size": 1, "step_s": 1.0}, {"size": 2, "step_s": 1.25}]
    level = {"id": "exact", "requests_per_minute": 60 * 1.6 / 4.2, "latency_s": 4.2, "batch": batch}
    device = parse_profile({"family": "f", "device": "a100", "levels": [level]})
    capacity = 8 * 1.6 / 4.2
    trace = Trace("steady", 240.0, np.zeros(1), np.full(1, 240.0), np.full(1, 2 * capacity * 240.0))
    work = workload(trace, synthetic_quality(device, 1), device.ids, 1)
    figures = simulate(SimConfig("clipper-ha", {"a100": device}, {"a100": 8}, SLO), work).figures
    assert 0.45 < figures["violation_rate"] < 0.56
