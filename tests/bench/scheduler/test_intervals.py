"""Intervals over seeds, and what may be said of a goal."""

from __future__ import annotations

import numpy as np
import pytest

from bench.scheduler.intervals import DRAWS, HOLDS, drawn, figure, interval, shown, verdict


def test_a_figure_is_pooled_by_weight_and_its_interval_is_about_that_of_the_mean() -> None:
    values = np.random.default_rng(1).normal(10, 2, 20)
    found = drawn(values)
    low, high = interval(found) or (0.0, 0.0)
    assert found.shape == (1 + DRAWS,)
    assert found[0] == pytest.approx(values.mean())
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(20), rel=0.15)
    assert drawn([1.0, 4.0], [2, 1])[0] == pytest.approx(2.0)


def test_a_difference_between_policies_is_paired_by_seed() -> None:
    hard = np.arange(20.0)  # seeds differ by far more than policies do
    low, high = interval(drawn(hard + 0.1) - drawn(hard)) or (0.0, 0.0)
    assert (low, high) == (pytest.approx(0.1), pytest.approx(0.1))


def test_a_goal_is_reached_only_where_its_interval_clears_it() -> None:
    assert verdict(drawn([0.1, 0.2, 0.3])) == "reached"
    assert verdict(drawn([0.0, 0.0])) == "reached"
    assert verdict(drawn([-0.1, 0.2, 0.3])) == "**not shown**"
    assert verdict(drawn([-0.1, -0.2])) == "**not reached**"


def test_a_single_seed_has_no_interval() -> None:
    alone = figure({"violation_rate": 0.02}, "violation_rate")
    assert interval(alone) is None
    assert shown(alone) == "2.00"
    assert shown(drawn([0.02, 0.04])) == "3.00 (2.00 to 4.00)"


@pytest.mark.parametrize("seeds", HOLDS)
def test_intervals_of_few_seeds_hold_as_often_as_is_said(seeds: int) -> None:
    samples = np.random.default_rng(seeds).normal(5, 1, (1000, seeds))
    ends = [interval(drawn(values)) or (0.0, 0.0) for values in samples]
    assert np.mean([low <= 5 <= high for low, high in ends]) == pytest.approx(HOLDS[seeds], abs=0.04)
