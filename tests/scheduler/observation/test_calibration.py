"""Live timings correct the profile in force, within bounds."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from core.profiles import Profile, parse_profile
from scheduler.observation.calibration import (
    BOUNDS,
    P90_RATIO_MAX,
    Correction,
    Timing,
    corrected,
    factors,
    fetch_time,
    learned,
    overheads,
    p90_ratios,
    with_fetch_time,
)

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


def took(level: str, step_s: float, rows: float = 1.0, started: float = 0.0, ended: float = 0.0) -> Timing:
    """Of ten steps, on a device that did nothing else meanwhile."""
    return Timing(level, step_s, step_s, 10, rows, 10 * step_s / rows, "cpu0", started, ended)


def slow(times: float, count: int = 10, rows: float = 1.0) -> list[Timing]:
    step = 0.1 if rows == 1 else 0.16
    return [took("exact", step * times, rows)] * count


def test_a_device_twice_as_slow_is_planned_twice_as_slow_after_a_few_ticks():
    now: dict[str, float] = {}
    for _ in range(8):
        now = factors(PROFILE, slow(2.0), now)
    assert now["large"] == pytest.approx(2.0, abs=0.02)
    level = corrected(PROFILE, Correction(now)).level("exact")
    assert level.latency_s == pytest.approx(0.1 + 1.0 * now["large"])
    assert 60 / level.requests_per_minute == pytest.approx(0.1 + 0.9 * now["large"])  # of a second, a tenth is no step
    assert level.curve.step_s(2) == pytest.approx(0.16 * now["large"])


def test_a_fused_batch_is_no_slowness():
    assert factors(PROFILE, slow(1.0, rows=2.0), {})["large"] == pytest.approx(1.0)


def test_a_mean_between_two_batches_is_expected_between_their_times():
    for rows in (1.45, 1.55):
        mixed = [took("exact", 0.1 + 0.06 * (rows - 1), rows)] * 10
        assert factors(PROFILE, mixed, {})["large"] == pytest.approx(1.0)


def test_who_shares_some_steps_with_many_takes_the_others_alone():
    """Half of the steps with seven others, half alone: the mean of rows says less of its share than the shares do."""
    flat = [
        replace(took("exact", 0.1, 4.5, 0.5625 * n - 1, 0.5625 * n), share_s=5 * 0.1 + 5 * 0.1 / 8) for n in range(40)
    ]
    assert overheads(PROFILE, flat, {"large": 0.0})["large"] == pytest.approx(0.0, abs=1e-9)


def test_corrections_stay_in_bounds():
    now: dict[str, float] = {}
    for _ in range(30):
        now = factors(PROFILE, slow(100.0), now)
    assert now["large"] == pytest.approx(BOUNDS[1])


def test_one_stray_timing_changes_nothing():
    assert factors(PROFILE, slow(9.0, count=1), {})["large"] == 1.0
    mixed = slow(1.0, count=9) + slow(50.0, count=2)
    assert factors(PROFILE, mixed, {})["large"] == pytest.approx(1.0)


def test_a_level_the_profile_does_not_know_is_ignored():
    assert factors(PROFILE, [took("gone", 0.1)] * 9, {}) == {"large": 1.0, "small": 1.0}


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
    now = {"run": 1.0, "idle": 4.0}
    steady = [took("run", 0.1)] * 10
    once = factors(profile, steady, now)
    assert once["run"] == 1.0
    assert 3.0 < once["idle"] < 4.0
    for _ in range(200):
        now = factors(profile, steady, now)
    assert now["idle"] == pytest.approx(1.0, abs=0.01)
    assert factors(profile, [], {"run": 2.0, "idle": 4.0}) == {"run": 2.0, "idle": 4.0}


def test_deadlines_are_kept_with_what_one_in_ten_takes_longer():
    now: dict[str, float] = {}
    mixed = slow(1.0, count=16) + slow(1.5, count=4)
    for _ in range(10):
        now = p90_ratios(PROFILE, mixed, now)
    assert now == {"large": pytest.approx(1.5, abs=0.01), "small": 1.0}
    level = corrected(PROFILE, Correction(p90_ratios=now)).level("exact")
    assert level.latency_at(1) == pytest.approx(1.5 * level.latency_s, rel=0.01)
    assert (
        p90_ratios(PROFILE, slow(1.0, count=16) + slow(90.0, count=4), {"large": P90_RATIO_MAX})["large"]
        == P90_RATIO_MAX
    )


def handled(count: int, every_s: float, takes_s: float, rows: float = 1.0, worker: str = "cpu0") -> list[Timing]:
    """Requests of ten steps of 0.1 s each, one ending every `every_s` seconds, `takes_s` from claim to store."""
    return [
        replace(took("exact", 0.1 * rows, rows, every_s * n - takes_s, every_s * n), worker=worker)
        for n in range(1, count + 1)
    ]


def test_what_a_request_takes_of_a_full_worker_beside_its_steps_is_seen_where_nothing_overlaps():
    now: dict[str, float] = {}
    for _ in range(8):
        now = overheads(PROFILE, handled(10, every_s=1.4, takes_s=1.4), now)
    assert now["large"] == pytest.approx(0.4, abs=0.01)
    assert now["small"] == 0.0  # as measured: nobody ran it
    level = corrected(PROFILE, Correction(overhead_s={"large": 0.4})).level("exact")
    assert level.latency_s == pytest.approx(1.4)
    assert 60 / level.requests_per_minute == pytest.approx(0.9 + 0.4)


def test_what_goes_on_while_others_step_costs_no_capacity():
    hidden = overheads(PROFILE, handled(40, every_s=1.0, takes_s=2.4, rows=2.0), {"large": 0.0, "small": 0.3})
    assert hidden["large"] == pytest.approx(0.0, abs=1e-9)
    assert hidden["small"] == 0.3


def test_a_worker_that_is_not_full_can_only_show_that_less_is_taken():
    assert overheads(PROFILE, handled(10, every_s=5.0, takes_s=1.4), {"large": 0.1})["large"] == pytest.approx(0.1)
    assert overheads(PROFILE, handled(10, every_s=5.0, takes_s=1.4), {"large": 0.8})["large"] == pytest.approx(0.6)


def in_turns(pair_s: float) -> list[Timing]:
    """A large request and a small one beside it, pair after pair, each pair in so many seconds."""
    pairs = [
        (
            took("large", 0.1, 1.0, pair_s * n, pair_s * (n + 1)),
            took("small", 0.025, 1.0, pair_s * n + 0.1, pair_s * n + pair_s - 0.1),
        )
        for n in range(100)
    ]
    return [timing for pair in pairs for timing in pair]


def test_models_that_take_turns_show_what_they_take_as_well_as_one_alone():
    """Each request's turns make the other's take longer from claim to store, and neither slower."""
    two = profile_of({"large": (1.0, 0.06), "small": (0.25, 0.02)})
    turns = in_turns(1.5)
    assert factors(two, turns, {}) == {"large": pytest.approx(1.0), "small": pytest.approx(1.0)}
    now: dict[str, float] = {}
    for _ in range(12):
        now = overheads(two, turns, now)
    assert now["large"] + now["small"] == pytest.approx(0.25, rel=0.05)  # of 1.5 s that a pair takes, 1.25 are steps
    assert now["large"] - now["small"] == pytest.approx(0.06 - 0.02, abs=0.001), "claims and storing are alike"


def test_what_goes_on_beside_the_steps_is_as_much_less_for_each_as_it_is_for_all():
    two = profile_of({"large": (1.0, 0.4), "small": (0.25, 0.1)})
    turns = in_turns(1.35)
    now: dict[str, float] = {}
    for _ in range(12):
        now = overheads(two, turns, now)
    assert now["large"] == pytest.approx(4 * now["small"], rel=0.01)
    assert now["large"] + now["small"] == pytest.approx(0.1, rel=0.15)


def test_a_core_that_does_something_else_meanwhile_makes_steps_longer_and_not_dearer():
    sliced = [replace(took("exact", 0.11, 1.0, 4.0 * n, 4.0 * (n + 1)), step_s=0.3) for n in range(20)]
    now, ratios = {}, {}
    for _ in range(12):
        now, ratios = factors(PROFILE, sliced, now), p90_ratios(PROFILE, sliced, ratios)
    assert now["large"] == pytest.approx(1.1, abs=0.01)
    assert ratios["large"] == pytest.approx(P90_RATIO_MAX, abs=0.01)
    assert overheads(PROFILE, sliced, {"large": 2.9})["large"] == pytest.approx(2.9)


def test_who_has_loras_or_an_image_tells_of_the_worker_and_not_of_the_level():
    others = [replace(timing, step_s=3 * timing.step_s, as_profiled=False) for timing in slow(1.0)]
    assert factors(PROFILE, others, {})["large"] == 1.0
    full = [replace(timing, as_profiled=n % 2 == 0) for n, timing in enumerate(handled(10, every_s=1.4, takes_s=1.4))]
    assert overheads(PROFILE, full, {"large": 0.4})["large"] == pytest.approx(0.4, abs=0.01)


def profile_of(levels: Mapping[str, tuple[float, float]]) -> Profile:
    """Levels of their own models, with seconds of ten steps, and of encoding and decoding."""
    return parse_profile(
        {
            "family": "f",
            "device": "d",
            "levels": [
                {
                    "id": name,
                    "model": name,
                    "requests_per_minute": 60 / (steps_s + outside_s),
                    "latency_s": steps_s + outside_s,
                    "encode_s": outside_s / 2,
                    "decode_s": outside_s / 2,
                    "steps": 10,
                    "batch": [{"size": 1, "step_s": steps_s / 10}],
                }
                for name, (steps_s, outside_s) in levels.items()
            ],
        }
    )


def test_what_is_beside_the_steps_stays_in_bounds():
    now: dict[str, float] = {}
    for _ in range(30):
        now = overheads(PROFILE, handled(10, every_s=300.0, takes_s=300.0), now)
    assert now["large"] == pytest.approx(BOUNDS[1] * 1.1)


def test_without_timings_what_was_learned_stays():
    before = Correction({"large": 2.0, "small": 1.0}, {"large": 1.5, "small": 1.0}, {"large": 0.2, "small": 0.0}, 0.0)
    assert learned(PROFILE, [], ([], []), None, before) == before
    assert Correction(**before.to_json()) == before


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
    level = with_fetch_time(CACHED, 1.0).level("ac-10")
    assert level.latency_s == pytest.approx(1.5)
    assert level.requests_per_minute == pytest.approx(40.0)  # one place, held for 1.5 s: less than exact carries
    assert with_fetch_time(CACHED, 1.0).level("exact") == CACHED.level("exact")
    assert with_fetch_time(CACHED, 0.0).level("ac-10").requests_per_minute == pytest.approx(120.0)


def test_fetching_is_what_hits_take_longer_and_without_hits_what_probes_took():
    slow = None
    for _ in range(10):
        slow = fetch_time(CACHED, [1.1] * 6, [0.1] * 6, None, slow)
    assert slow == pytest.approx(1.0, abs=0.01)
    for hits in ([], [0.1] * 4):
        assert fetch_time(CACHED, hits, [0.1] * 6, None, slow) == slow, "too few hits do not make it cheap again"
    for _ in range(10):
        slow = fetch_time(CACHED, [], [0.1] * 6, 0.2, slow)
    assert slow == pytest.approx(0.2, abs=0.01)
