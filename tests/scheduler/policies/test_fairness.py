"""Whose turn it is, and how much may wait in front: pure functions."""

from __future__ import annotations

from collections import Counter

import pytest

from scheduler.policies.fairness import FLOOD, allowances, as_its_own, is_flood, shares, turns
from tests.scheduler.policies.small_cluster import load_state


def test_the_place_goes_to_who_runs_least_for_its_weight() -> None:
    assert turns({"a", "b"}, {"a": 3, "b": 1}, {}) == ["b", "a"]
    assert turns({"a", "b"}, {"a": 3, "b": 2}, {"a": 2.0}) == ["a", "b"]
    assert turns({"a"}, {}, {}) == ["a"]


@pytest.mark.parametrize("weights", [{"a": 1.0, "b": 1.0}, {"a": 2.0, "b": 1.0}, {"a": 1.0, "b": 3.0, "c": 2.0}])
def test_over_time_places_are_given_in_proportion_to_the_weights(weights: dict[str, float]) -> None:
    running: Counter[str] = Counter()
    for _ in range(600):
        running[turns(weights, running, weights)[0]] += 1
    for tenant, share in shares(weights, weights).items():
        assert running[tenant] == pytest.approx(600 * share, abs=1)


def test_each_may_have_in_front_what_its_share_can_have_in_time() -> None:
    assert allowances({"a", "b"}, {"a": 3.0}, 40.0) == {"a": 30, "b": 10}
    assert allowances({"a", "b"}, {}, 0.4) == {"a": 1, "b": 1}
    assert allowances({"a"}, {}, 1.0) == {}
    assert allowances((), {}, 1.0) == {}


def test_a_flood_is_many_times_what_can_be_in_time() -> None:
    assert not is_flood(5 * FLOOD, 5)
    assert is_flood(5 * FLOOD + 1, 5)


def test_a_tenant_sees_the_load_as_if_everybody_were_like_it() -> None:
    load = load_state(waiting=100, models=("m", "n"))
    assert as_its_own(load, "m", 4, 0.5).waiting == {"m": 8, "n": 100}
    assert as_its_own(load, "m", 4, 1.0).waiting == {"m": 4, "n": 100}
