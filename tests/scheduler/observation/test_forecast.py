"""The rate ahead: steady under noise, quick under change, honest about its error."""

from __future__ import annotations

import numpy as np
import pytest

from scheduler.observation.forecast import DAY_S, HEADROOM_MAX, Forecaster


def fed(rates: np.ndarray, seed: int = 0, seconds: float = 1.0) -> Forecaster:
    forecaster = Forecaster()
    for i, count in enumerate(np.random.default_rng(seed).poisson(rates * seconds)):
        forecaster.observe(i * seconds, seconds, count)
    return forecaster


def test_noise_around_a_steady_rate_stays_small() -> None:
    errors = [fed(np.full(900, 3.5), seed).rate / 3.5 - 1 for seed in range(20)]
    assert np.sqrt(np.mean(np.square(errors))) < 0.1


def test_an_hour_of_steady_demand_is_known_to_two_percent() -> None:
    errors = [fed(np.full(3600, 3.5), seed).rate / 3.5 - 1 for seed in range(5)]
    assert np.sqrt(np.mean(np.square(errors))) < 0.02


def test_an_hour_of_calm_does_not_hide_a_jump_nor_its_end() -> None:
    burst = np.concatenate([np.full(3600, 0.7), np.full(30, 3.8)])
    assert fed(burst).rate == pytest.approx(3.8, rel=0.25)
    assert fed(np.concatenate([burst, np.full(60, 0.7)])).rate == pytest.approx(0.7, rel=0.3)


def test_a_jump_is_said_to_be_one_and_calm_is_not() -> None:
    assert fed(np.concatenate([np.full(900, 0.7), np.full(8, 3.8)])).burst
    assert not any(fed(np.full(900, 3.5), seed).burst for seed in range(5))


def test_a_jump_is_followed_within_twenty_seconds() -> None:
    rates = [fed(np.concatenate([np.full(900, 0.7), np.full(20, 3.8)]), seed).rate for seed in range(20)]
    assert np.mean(rates) == pytest.approx(3.8, rel=0.25)


def test_the_first_minute_is_a_plain_mean() -> None:
    forecaster = Forecaster()
    for i in range(5):
        forecaster.observe(float(i), 1.0, 4)
    assert forecaster.rate == pytest.approx(4.0)


def test_no_demand_is_no_rate_and_no_error() -> None:
    forecaster = fed(np.zeros(100))
    assert forecaster.rate == 0
    assert forecaster.ahead(10).headroom == 1.0


def test_errors_in_short_supply_raise_the_headroom_and_noise_does_not() -> None:
    def run(rates: np.ndarray) -> float:
        forecaster = Forecaster()
        for i, count in enumerate(np.random.default_rng(1).poisson(rates)):
            if i % 10 == 0:
                forecaster.ahead(10.0)
            forecaster.observe(float(i), 1.0, count)
        return forecaster.ahead(10.0).headroom

    climbing = run(np.repeat(2.0 * 1.25 ** np.arange(12), 20))
    assert run(np.full(600, 4.0)) < 1.03
    assert 1.05 < climbing <= HEADROOM_MAX


def test_the_same_time_of_earlier_days_says_where_demand_goes() -> None:
    forecaster = Forecaster()
    minutes = np.arange(0, 2 * DAY_S + 8 * 3600, 60)
    for start in minutes:
        forecaster.observe(float(start), 60.0, 240 if (start % DAY_S) >= 8 * 3600 else 120)
    assert forecaster.ahead(300.0).rate == pytest.approx(4.0, rel=0.1)


def test_dispersion_is_one_for_a_poisson_stream_and_higher_for_lumps() -> None:
    steady = np.mean([fed(np.full(600, 4.0), seed).dispersion for seed in range(10)])
    lumps = np.mean([fed(np.where(np.arange(600) % 40 < 10, 13.0, 1.0), seed).dispersion for seed in range(10)])
    assert steady < 1.5
    assert lumps > 2.0


def test_a_rise_and_a_fall_are_expected_to_go_on_and_noise_is_not() -> None:
    rise = np.concatenate([np.full(900, 1.0), np.repeat([2.0, 3.0, 4.0], 10)])
    fall = np.concatenate([np.full(900, 4.0), np.repeat([3.0, 2.0], 10)])
    rising, falling, steady = ([fed(rates, seed) for seed in range(20)] for rates in (rise, fall, np.full(900, 3.5)))
    assert np.mean([each.rate for each in rising]) < 3.6 < np.mean([each.coming for each in rising]) < 4.2
    assert np.mean([each.rate for each in falling]) > np.mean([each.coming for each in falling]) > 1.8
    assert np.mean([each.coming for each in steady]) == pytest.approx(3.5, rel=0.03)


def test_a_fall_leaves_half_of_the_rate() -> None:
    sudden = [fed(np.concatenate([np.full(900, 8.0), np.zeros(15)]), seed) for seed in range(5)]
    assert all(each.coming >= 0.5 * each.rate for each in sudden)
