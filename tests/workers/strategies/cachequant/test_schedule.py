"""The schedule of the deep part is the cheapest there is within its bounds."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from workers.strategies.cachequant.schedule import Starts, bounds, cost, schedule, uniform


def every(steps: int, interval: int) -> list[Starts]:
    """All ways to cut so many steps into groups within the bounds."""
    groups, (fewest, most) = -(-steps // interval), bounds(interval)
    cuts = [(0, *rest) for rest in combinations(range(1, steps), groups - 1)]
    return [cut for cut in cuts if all(fewest <= b - a <= most for a, b in zip(cut, (*cut[1:], steps), strict=True))]


def distances(steps: int, seed: int) -> np.ndarray:
    """Distances between the points of a path that moves unevenly."""
    rng = np.random.default_rng(seed)
    path = np.cumsum(rng.normal(size=(steps, 4)) * rng.exponential(size=(steps, 1)), axis=0)
    return np.abs(path[:, None] - path[None]).sum(-1)


@pytest.mark.parametrize("steps", range(1, 13))
def test_the_schedule_costs_what_the_best_of_all_schedules_costs(steps: int):
    for interval in range(1, steps + 1):
        for seed in range(3):
            distance = distances(steps, seed)
            found = schedule(distance, interval)
            assert found in every(steps, interval)
            assert cost(distance, found) == pytest.approx(min(cost(distance, cut) for cut in every(steps, interval)))


def test_steps_that_change_fast_get_shorter_groups_than_those_that_stand_still():
    place = np.array([0.0, 9.0, 18.0, *[27.0] * 9])
    distance = np.abs(place[:, None] - place[None])
    assert schedule(distance, 3)[:2] == (0, 2)
    assert (cost(distance, schedule(distance, 3)), cost(distance, uniform(12, 3))) == (18, 27)


@pytest.mark.parametrize("interval", [0, -1, 13])
def test_an_interval_that_does_not_fit_is_refused_with_those_that_do(interval: int):
    with pytest.raises(ValueError, match="1 to 12 do"):
        schedule(distances(12, 0), interval)
