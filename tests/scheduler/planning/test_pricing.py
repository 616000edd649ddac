"""Levels by quality minus price, and the price of a worker-second while a queue fills."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.planning.milp import Instance, Level, PromptClass, solve
from scheduler.planning.pricing import (
    VALUE_IN_TIME,
    PriceCurve,
    choose,
    price_curve,
    prices_by_queue_length,
    shadow_price,
    uniform_draw,
)

SECONDS = np.array([4.2, 3.0, 2.1])
QUALITY = np.array([[1.0, 0.98, 0.95], [1.0, 0.90, 0.80], [1.0, 0.99, 0.60], [1.0, 0.97, 0.92]])


def sample(n: int = 200, seed: int = 0) -> np.ndarray:
    """Prompts whose losses are the same shape at every level, tolerance spread exponentially."""
    tolerance = np.random.default_rng(seed).exponential(size=n)
    return 1 - tolerance[:, None] * np.array([0.0, 0.05, 0.09])


def test_without_prices_everyone_gets_the_best_level() -> None:
    assert choose(QUALITY, np.zeros(3)).tolist() == [0, 0, 0, 0]


def test_the_prompts_that_lose_least_go_cheapest() -> None:
    assert choose(QUALITY, 0.06 * SECONDS).tolist() == [2, 0, 1, 2]


def test_a_floor_is_hard_and_the_best_level_stands_in_where_none_reaches_it() -> None:
    prices = SECONDS * 10
    assert choose(QUALITY, prices, floors=np.array([0.97, 0.95, 0.5, 1.5])).tolist() == [1, 0, 2, 0]


def test_a_closed_level_is_not_chosen_unless_all_are_closed() -> None:
    assert choose(QUALITY, np.array([np.inf, 0.0, 0.0])).tolist() == [1, 1, 1, 1]
    assert choose(QUALITY, np.full(3, np.inf)).tolist() == [0, 0, 0, 0]


def test_levels_too_slow_for_the_time_left_are_passed_over_and_the_quickest_is_left() -> None:
    left = np.array([10.0, 3.5, 2.5, 0.1])
    assert choose(QUALITY, np.zeros(3), latency=SECONDS, left=left).tolist() == [0, 1, 2, 2]


def test_ties_fall_in_planned_proportion_and_the_same_way_every_time() -> None:
    tied = np.full((4000, 3), 0.9)
    keys = [f"prompt {i}" for i in range(4000)]
    shares = np.array([0.2, 0.0, 0.8])
    first = choose(tied, np.zeros(3), keys=keys, epoch=7, shares=shares)
    assert (first == choose(tied, np.zeros(3), keys=keys, epoch=7, shares=shares)).all()
    assert np.bincount(first, minlength=3) / 4000 == pytest.approx(shares, abs=0.02)
    assert (first != choose(tied, np.zeros(3), keys=keys, epoch=8, shares=shares)).any()


def test_a_draw_is_even_and_depends_on_prompt_and_epoch() -> None:
    draws = [uniform_draw(f"p{i}", 1) for i in range(2000)]
    assert 0 <= min(draws) < max(draws) < 1
    assert np.mean(draws) == pytest.approx(0.5, abs=0.03)
    assert uniform_draw("p0", 1) != uniform_draw("p0", 2)


def test_routing_single_prompts_by_the_plans_prices_gives_the_planned_shares() -> None:
    prompts = sample(400)
    names = ("exact", "ac", "fast")
    levels = tuple(Level(name, {"a": 60 / s}, "m") for name, s in zip(names, SECONDS, strict=True))
    order = np.argsort(prompts.mean(axis=1))
    classes = tuple(
        PromptClass(f"c{k}", 170.0 / 16, dict(zip(names, prompts[part].mean(axis=0), strict=True)))
        for k, part in enumerate(np.array_split(order, 16))
    )
    plan = solve(Instance({"a": 8}, levels, classes))
    chosen = choose(prompts, np.array([plan.prices[name] for name in names]))
    planned = np.array([plan.load.get(name, 0.0) for name in names]) / plan.served_total
    assert np.bincount(chosen, minlength=3) / 400 == pytest.approx(planned, abs=0.05)


def test_along_a_curve_seconds_fall_and_losses_rise() -> None:
    found = price_curve(sample(), SECONDS)
    assert found.seconds[0] == pytest.approx(4.2)
    assert found.seconds[-1] == pytest.approx(2.1)
    assert all(b <= a + 1e-12 for a, b in zip(found.seconds, found.seconds[1:], strict=False))
    assert all(b >= a - 1e-12 for a, b in zip(found.loss, found.loss[1:], strict=False))
    assert PriceCurve.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_sample_that_loses_nothing_or_has_one_level_has_a_curve_too() -> None:
    assert price_curve(np.ones((5, 1)), np.array([2.0])).price_at(0.5) == pytest.approx(0.25)
    flat = price_curve(np.ones((5, 3)), SECONDS)
    assert flat.loss[-1] == 0


@given(slot_value=st.floats(0, 3))
@settings(max_examples=60, deadline=None)
def test_the_worth_of_a_place_is_the_best_gain_a_worker_second_can_make(slot_value: float) -> None:
    found = price_curve(sample(), SECONDS)
    best = max((slot_value - q) / s for s, q in zip(found.seconds, found.loss, strict=True))
    assert found.price_at(slot_value) == pytest.approx(max(0.0, best), abs=0.004)


def test_an_empty_queue_prices_nothing_and_a_filling_one_ever_more() -> None:
    prices = prices_by_queue_length(price_curve(sample(), SECONDS), 3.0, 8.0, 40)
    assert prices[0] == 0
    assert all(b >= a - 1e-9 for a, b in itertools.pairwise(prices))
    assert prices[-1] <= price_curve(sample(), SECONDS).price_at(VALUE_IN_TIME) + 1e-9


@pytest.mark.parametrize("shift", [-0.05, 0.01])
def test_what_every_level_loses_or_gains_alike_prices_nothing(shift: float) -> None:
    moved = prices_by_queue_length(price_curve(sample() + shift, SECONDS), 1.0, 8.0, 40)
    assert moved == pytest.approx(prices_by_queue_length(price_curve(sample(), SECONDS), 1.0, 8.0, 40), abs=1e-6)


def test_more_arrivals_fewer_workers_and_lumpier_demand_price_higher() -> None:
    found = price_curve(sample(), SECONDS)
    base = shadow_price(found, 2.8, 10, 8, 40)
    assert shadow_price(found, 3.4, 10, 8, 40) > base
    assert shadow_price(found, 2.8, 10, 6, 30) > base
    assert shadow_price(found, 2.8, 10, 8, 40, dispersion=4.0) > base


def test_the_recursion_beats_every_constant_worth_on_the_chain_it_describes() -> None:
    """Average cost by value iteration on the birth-death chain, under the found prices and under constants."""
    found, rate, workers, room = price_curve(sample(), SECONDS), 3.2, 8.0, 30
    prices = prices_by_queue_length(found, rate, workers, room)
    mine = _average_cost(found, rate, workers, list(prices))
    constants = [_average_cost(found, rate, workers, [w] * (room + 1)) for w in found.price]
    assert mine <= min(constants) + 1e-6


def _average_cost(found: PriceCurve, rate: float, workers: float, prices: list[float]) -> float:
    """Stationary cost a second: losses of what is served, `VALUE_IN_TIME` for each arrival that finds no room."""
    answers = [np.interp(w, found.price, np.stack([found.seconds, found.loss])[k]) for k in (0, 1) for w in prices]
    seconds, loss = np.array(answers[: len(prices)]), np.array(answers[len(prices) :])
    service = workers / seconds
    weights = np.concatenate([[1.0], np.cumprod(rate / service[1:])])
    weights /= weights.sum()
    return float((weights[1:] * service[1:] * loss[1:]).sum() + weights[-1] * rate * VALUE_IN_TIME)
