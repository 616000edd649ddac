"""The live bench's load, and how it reads its own figures."""

import numpy as np
import pytest

from bench.live import page
from bench.live.earlier import alike, table, with_earlier
from bench.live.instance import environ
from bench.live.load import burst, make_load
from bench.live.policy_run import by_minute
from traces.reader import Trace
from traces.replay.plan import Planned
from traces.replay.send import Sent


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


def test_the_reading_compares_with_the_better_baseline_and_says_what_the_minutes_do_not_show():
    pairs = {str(place): 0.99 for place in range(20)}
    policies = {
        "argus": {**figures(0.02, 98.0, pairs), "by_minute": [(100, 2)] * 9 + [(100, 3)]},
        "clipper-ha": {**figures(0.5, 50.0, pairs), "by_minute": [(100, 50)] * 10},
        "pac": {**figures(0.03, 97.0, dict.fromkeys(pairs, 0.97)), "by_minute": [(100, 0)] * 9 + [(100, 30)]},
    }
    few, fewer, higher, quality = page.reading(policies)[2:]
    assert few.endswith("| **not shown** |")
    assert fewer.startswith("| fewer violations than both baselines' better one | 2.10 (")
    assert fewer.endswith("(pac) | **not shown** |"), "one minute alone makes the difference"
    assert "against 97.0 a minute (pac)" in higher
    assert quality.endswith("of the 20 that both drew 2.00 (2.00 to 2.00) points | reached |")


def test_minutes_count_what_was_to_come_in_them():
    sent = [Sent(Planned(at, "a fox", 1)) for at in (0.0, 59.9, 125.0)]
    assert by_minute(sent) == [(2, 2), (0, 0), (1, 1)]


def test_one_policy_alone_is_no_comparison():
    assert "Not a comparison" in page.reading({"argus": figures(0.0, 1.0, {"1": 1.0})})[0]


def _run(measured: str, ours: float, rival: float, load: float = 1.2) -> dict:
    about = {"measured": measured, "seed": 1, "capacity": 100.0, "mean": 120.0, "load": load, "duration_s": 600.0}
    one = {"goodput_per_minute": 100.0, "quality_mean": 0.98, "quality_standard_error": 0.01, "latency_p99_s": 4.0}
    policies = {"argus": {**one, "violation_rate": ours}, "pac": {**one, "violation_rate": rival}}
    return {"run": {**about, "family_version": "4", "note": ""}, "policies": policies}


def test_a_run_keeps_those_before_it_and_counts_only_what_is_alike():
    first = _run("2026-11-26 10:00 UTC", 0.01, 0.03)
    other = with_earlier(_run("2026-11-26 12:00 UTC", 0.0, 0.5, load=0.5), first)
    newest = with_earlier(_run("2026-11-27 10:00 UTC", 0.05, 0.04), other)
    assert [one["measured"][:13] for one in newest["earlier"]] == ["2026-11-26 12", "2026-11-26 10"]
    again = with_earlier(_run("2026-11-27 10:00 UTC, interrupted and resumed 11:00 UTC", 0.05, 0.04), newest)
    assert again["earlier"] == newest["earlier"], "a run that goes on is none before itself"
    words = "\n".join(table(alike(newest), "argus", ("pac",)))
    assert "Of 2 runs with `pac`, `argus` had fewer violations in 1, more goodput in 0, and no less" in words
    assert table(alike(first), "argus", ("pac",)) == []
