"""The live bench's load, and how it reads its own figures."""

import numpy as np
import pytest

from bench.live import page
from bench.live.instance import environ
from bench.live.load import burst, make_load
from traces.reader import Trace


def trace(*per_minute: float) -> Trace:
    counts = np.repeat(np.array(per_minute) / 60, 60)
    seconds = np.arange(len(counts), dtype=float)
    return Trace("t", float(len(counts)), starts=seconds, widths=np.ones(len(counts)), counts=counts)


def figures(violations: float, goodput: float, quality: dict[str, float]) -> dict:
    mean = sum(quality.values()) / len(quality)
    return {
        "violation_rate": violations,
        "goodput_per_minute": goodput,
        "quality_mean": mean,
        "quality_standard_error": 0.001,
        "quality_images": len(quality),
        "quality_by_place": quality,
    }


def test_the_window_is_where_most_arrives():
    assert burst(trace(60, 60, 600, 900, 60, 60), 120.0) == 120.0


def test_a_window_as_long_as_the_trace_is_the_trace():
    assert burst(trace(60, 600), 120.0) == 0.0


def test_the_mean_of_the_window_is_the_load_asked_for():
    load = make_load(trace(60, 60, 600, 900, 60, 60), 120.0, 300.0, ["a", "b"], seed=1, sample=20)
    assert load.mean == pytest.approx(300.0)
    assert load.busiest == pytest.approx(360.0)
    assert len(load.planned) == pytest.approx(600, abs=5 * 600**0.5)


def test_every_policy_gets_the_same_requests_and_sample():
    first, second = (make_load(trace(60, 600), 60.0, 100.0, ["a", "b"], seed=3, sample=10) for _ in range(2))
    assert first.planned == second.planned
    assert first.sample == second.sample
    assert len(set(first.sample)) == 10


def test_settings_of_the_caller_do_not_reach_a_run(monkeypatch, tmp_path):
    monkeypatch.setenv("ARGUS_POLICY", "pac")
    monkeypatch.setenv("ARGUS_SHARED", "elsewhere")
    settings = environ(tmp_path, "clipper-ha", 0.0)
    assert settings["ARGUS_POLICY"] == "clipper-ha"
    assert "ARGUS_SHARED" not in settings


def test_the_reading_compares_with_the_better_baseline_of_each_figure():
    policies = {
        "argus": figures(0.02, 90.0, {"1": 0.99, "2": 1.0}),
        "clipper-ha": figures(0.5, 95.0, {"1": 1.0, "2": 1.0}),
        "pac": figures(0.03, 80.0, {"1": 0.97, "2": 0.99}),
    }
    fewer, higher, quality = page.reading(policies)[2:]
    assert "(pac) | reached" in fewer
    assert "(clipper-ha) | **missed**" in higher
    assert "pair by pair +0.0150" in quality
    assert "reached" in quality


def test_one_policy_alone_is_no_comparison():
    assert "Not a comparison" in page.reading({"argus": figures(0.0, 1.0, {"1": 1.0})})[0]
