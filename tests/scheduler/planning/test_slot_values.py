"""The recursion behind prices, in leaps against step by step."""

from __future__ import annotations

import time

import numpy as np
import pytest

from scheduler.planning import pricing
from scheduler.planning.pricing import VALUE_IN_TIME, PriceCurve, price_curve, prices_by_queue_length


def step_by_step(curve: PriceCurve, rate: float, workers: float, room: int, lump: float) -> list[float]:
    """The recursion as the docstring of `pricing` writes it, one lump at a time."""
    rate, workers = rate / lump, workers / lump

    def prices(cost: float) -> tuple[list[float], bool]:
        value, found = 0.0, []
        for _ in range(room + 1):
            found.append(curve.price_at(value))
            value = (cost + workers * found[-1]) / rate
            if value > VALUE_IN_TIME:
                return found + [curve.price_at(VALUE_IN_TIME)] * (room + 1 - len(found)), True
        return found, False

    low, high = 0.0, rate * lump * VALUE_IN_TIME
    for _ in range(pricing.BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if prices(middle)[1] else (middle, high)
    return prices(low)[0]


def a_curve(rng: np.random.Generator) -> PriceCurve:
    levels = int(rng.integers(1, 9))
    loss = np.linspace(0, rng.uniform(0.02, 0.3), levels) * rng.exponential(size=(200, 1))
    seconds = np.sort(rng.uniform(1, 6, levels))[::-1]
    return price_curve(1 - loss + rng.normal(0, 0.02, loss.shape), seconds)


@pytest.mark.parametrize("seed", range(24))
def test_leaps_arrive_where_single_steps_do(seed: int) -> None:
    rng = np.random.default_rng(seed)
    curve, workers = a_curve(rng), float(rng.choice([1, 3, 8, 40, 200]))
    rate = workers / curve.seconds[-1] * rng.uniform(0.3, 1.4)
    room, lump = max(1, int(workers * rng.uniform(0.2, 12))), float(rng.choice(pricing.LUMPS))
    leaps = prices_by_queue_length(curve, rate, workers, room, lump)
    assert leaps == pytest.approx(step_by_step(curve, rate, workers, room, lump), abs=1e-6)


@pytest.mark.parametrize("load", [0.0, 0.5, 0.95, 1.0, 1.2, 5.0])
def test_a_thousand_workers_are_priced_in_under_20_ms(load: float) -> None:
    curve = a_curve(np.random.default_rng(1))
    rate = max(1e-3, load * 1000 / curve.seconds[-1])
    prices_by_queue_length(curve, 1.0, 1.0, 10)  # the curve's own tables, made once
    taken = []
    for more in range(3):
        started = time.process_time()
        prices_by_queue_length(curve, rate, 1000.0 + more, 20_000, 0.5)
        taken.append(time.process_time() - started)
    assert min(taken) < 0.02
