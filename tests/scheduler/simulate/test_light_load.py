"""While demand fits, pictures are left alone, also where a full batch outlasts the target. All figures simulated."""

from __future__ import annotations

import numpy as np
import pytest

from core.profiles import Profile, parse_profile, read_profile
from core.settings import ROOT
from scheduler.simulate import Report, SimConfig, simulate, synthetic_quality, workload
from traces.reader import Trace

TARGET_S = 2.0  # the least for people who wait
SLOW = {1: 0.042, 2: 0.076, 4: 0.15, 8: 0.262}  # seconds of a step on one thread: batching hardly pays


def level(name: str, steps: int, model: str, quality: float, part: float = 1.0) -> dict[str, object]:
    """A level of so many steps, each of which takes this part of a step of the large model."""
    batch = [{"size": size, "step_s": part * seconds} for size, seconds in SLOW.items()]
    best = min(steps * part * seconds / size for size, seconds in SLOW.items()) + 0.05
    costs = {"requests_per_minute": 60 / best, "latency_s": steps * part * SLOW[1] + 0.05, "memory_mb": 70.0}
    return {"id": name, "model": model, "quality": quality, "batch": batch, **costs}


def one_thread(memory_mb: float) -> Profile:
    levels = [level("exact", 12, "large", 1.0), level("ac-3", 9, "large", 0.998), level("quick", 1, "turbo", 0.98)]
    return parse_profile({"family": "toy", "device": "cpu", "memory_mb": memory_mb, "levels": levels})


def at(load: float, device: Profile, policy: str = "argus") -> Report:
    """One worker, five minutes of Poisson arrivals at a share of what it carries at the exact level."""
    requests = load * device.reference.requests_per_minute * 5
    trace = Trace("steady", 300.0, np.zeros(1), np.full(1, 300.0), np.full(1, requests))
    work = workload(trace, synthetic_quality(device, 3), device.ids, 3, 0.3)
    return simulate(SimConfig(policy, {"cpu": device}, {"cpu": 1}, TARGET_S), work)


@pytest.mark.parametrize(("load", "exact"), [(0.1, 0.99), (0.3, 0.95)])
def test_a_full_batch_that_outlasts_the_target_is_no_reason_to_lower_a_level(load: float, exact: float) -> None:
    device = one_thread(0.0)
    assert device.reference.latency_full_s > TARGET_S
    figures = at(load, device).figures
    assert figures["levels"]["exact"] >= exact
    assert figures["violation_rate"] <= 0.005


@pytest.mark.parametrize(("load", "exact"), [(0.1, 0.99), (0.3, 0.97), (0.6, 0.9), (1.2, 0.5)])
def test_a_worker_with_memory_for_all_models_lowers_only_whom_it_must(load: float, exact: float) -> None:
    figures = at(load, one_thread(8000.0)).figures
    assert figures["levels"]["exact"] >= exact
    assert figures["violation_rate"] <= 0.02 if load > 1 else 0.005


def test_what_is_in_memory_already_takes_no_time_to_change_to_under_any_policy() -> None:
    free, apart = (at(0.9, one_thread(memory_mb), "proteus") for memory_mb in (8000.0, 0.0))
    assert free.ticks["switches"] == 0
    assert free.figures["violation_rate"] <= apart.figures["violation_rate"]


@pytest.mark.parametrize(("load", "exact"), [(0.1, 0.99), (0.3, 0.97), (0.6, 0.95)])
def test_the_embedded_family_by_its_own_profile(load: float, exact: float) -> None:
    figures = at(load, read_profile(ROOT / "profiles" / "embedded" / "cpu.json")).figures
    assert figures["levels"]["exact"] >= exact
    assert figures["violation_rate"] <= 0.005
