"""Classes with weights: who is served, and who keeps quality, where there is not enough for all. Solved by hand."""

from __future__ import annotations

import pytest

from scheduler.planning.milp import Instance, greedy_plan, solve
from tests.scheduler.planning.test_milp import CONTRACT, contract, one_class


def two_tenants(demand: float, weight: float, floor: float = 0.0) -> Instance:
    c0 = {**CONTRACT["classes"][0], "demand": demand, "floor": floor}
    return contract(classes=[c0, {**c0, "id": "c1", "weight": weight}])


def test_where_not_everybody_can_be_served_the_heavier_class_is() -> None:
    """8 × 14.29 requests a minute for twice 100 that accept nothing but `exact`."""
    plan = solve(two_tenants(100.0, weight=3.0, floor=1.0))
    assert plan.served["c1"] == {"exact": pytest.approx(100.0)}
    assert plan.shed["c0"] == pytest.approx(200.0 - 8 * 14.29)
    light = solve(two_tenants(100.0, weight=0.5, floor=1.0))
    assert light.shed["c0"] == pytest.approx(0.0, abs=1e-6)


def test_where_quality_is_short_the_heavier_class_has_it() -> None:
    """150 = exact + ac on eight workers leaves 78.6 at `exact`: the heavier class's 75 first."""
    plan = solve(two_tenants(75.0, weight=2.0))
    assert plan.served["c1"] == {"exact": pytest.approx(75.0)}
    assert plan.served["c0"]["exact"] == pytest.approx(78.615 - 75.0, abs=1e-3)
    assert plan.served_total == pytest.approx(150.0)


def test_weights_that_are_all_alike_change_nothing() -> None:
    plain, heavy = solve(two_tenants(100.0, weight=1.0)), contract(classes=[{**CONTRACT["classes"][0], "weight": 5.0}])
    assert plain.quality_total == pytest.approx(solve(one_class(200.0)).quality_total)
    assert solve(heavy).served["c0"] == pytest.approx(solve(contract()).served["c0"])
    assert Instance.from_json(heavy.to_json()) == heavy


def test_the_greedy_plan_serves_the_heavier_class_first() -> None:
    plan = greedy_plan(two_tenants(100.0, weight=3.0, floor=1.0))
    assert plan.shed["c1"] == pytest.approx(0.0)
