"""Live timings correct the profile in force, within bounds."""

import pytest

from core.profiles import parse_profile
from scheduler.correct import BOUNDS, Timing, corrected, corrections, fetching, with_fetching

PROFILE = parse_profile(
    {
        "family": "toy",
        "device": "cpu",
        "levels": [
            {
                "id": "exact",
                "model": "large",
                "requests_per_minute": 60,
                "latency_s": 1.1,
                "encode_s": 0.05,
                "decode_s": 0.05,
                "steps": 10,
                "batch": [{"size": 1, "step_s": 0.1}, {"size": 2, "step_s": 0.16}],
            },
            {"id": "sm", "model": "small", "requests_per_minute": 240, "latency_s": 0.25},
        ],
    }
)


def slow(times: float, count: int = 10, rows: float = 1.0) -> list[Timing]:
    step = 0.1 if rows == 1 else 0.16
    return [Timing("exact", denoise_s=step * 10 * times, steps=10, rows=rows)] * count


def test_a_device_twice_as_slow_is_planned_twice_as_slow_after_a_few_ticks():
    factors: dict[str, float] = {}
    for _ in range(8):
        factors = corrections(PROFILE, slow(2.0), factors)
    assert factors["large"] == pytest.approx(2.0, abs=0.02)
    level = corrected(PROFILE, factors).level("exact")
    assert level.latency_s == pytest.approx(0.1 + 1.0 * factors["large"])
    assert level.requests_per_minute == pytest.approx(60 * 1.1 / level.latency_s)
    assert level.curve.step_s(2) == pytest.approx(0.16 * factors["large"])


def test_a_fused_batch_is_no_slowness():
    assert corrections(PROFILE, slow(1.0, rows=2.0), {})["large"] == pytest.approx(1.0)


def test_corrections_stay_in_bounds():
    factors: dict[str, float] = {}
    for _ in range(30):
        factors = corrections(PROFILE, slow(100.0), factors)
    assert factors["large"] == pytest.approx(BOUNDS[1])


def test_one_stray_timing_changes_nothing():
    assert corrections(PROFILE, slow(9.0, count=1), {})["large"] == 1.0
    mixed = slow(1.0, count=9) + slow(50.0, count=2)
    assert corrections(PROFILE, mixed, {})["large"] == pytest.approx(1.0)


def test_a_level_the_profile_does_not_know_is_ignored():
    assert corrections(PROFILE, [Timing("gone", 1.0, 10, 1.0)] * 9, {}) == {"large": 1.0, "small": 1.0}


def test_a_model_nobody_runs_drifts_to_what_the_device_shows_elsewhere():
    profile = parse_profile(
        {
            "family": "f",
            "device": "d",
            "levels": [
                {"id": level, "model": level, "requests_per_minute": 60, "latency_s": 1.0} for level in ("run", "idle")
            ],
        }
    )
    factors = {"run": 1.0, "idle": 4.0}
    steady = [Timing("run", 1.0, 10, 1.0)] * 10
    once = corrections(profile, steady, factors)
    assert once["run"] == 1.0
    assert 3.5 < once["idle"] < 4.0
    for _ in range(200):
        factors = corrections(profile, steady, factors)
    assert factors["idle"] == pytest.approx(1.0, abs=0.01)
    assert corrections(profile, [], {"run": 2.0, "idle": 4.0}) == {"run": 2.0, "idle": 4.0}


CACHED = parse_profile(
    {
        "family": "f",
        "device": "d",
        "levels": [
            {"id": "exact", "requests_per_minute": 60, "latency_s": 1.0},
            {
                "id": "ac-10",
                "strategy": "ac",
                "model": "exact",
                "requests_per_minute": 120,
                "latency_s": 0.5,
                "fetch_s": 0.0,
            },
        ],
    }
)


def test_slow_fetching_makes_caching_cost_what_it_costs():
    level = with_fetching(CACHED, 1.0).level("ac-10")
    assert level.latency_s == pytest.approx(1.5)
    assert level.requests_per_minute == pytest.approx(40.0)  # one place, held for 1.5 s: less than exact carries
    assert with_fetching(CACHED, 1.0).level("exact") == CACHED.level("exact")
    assert with_fetching(CACHED, 0.0).level("ac-10").requests_per_minute == pytest.approx(120.0)


def test_fetching_is_what_hits_take_longer_and_is_forgotten_when_there_are_none():
    slow = None
    for _ in range(10):
        slow = fetching(CACHED, [1.1] * 6, [0.1] * 6, slow)
    assert slow == pytest.approx(1.0, abs=0.01)
    for _ in range(200):
        slow = fetching(CACHED, [], [0.1] * 6, slow)
    assert slow == pytest.approx(0.0, abs=0.01)
