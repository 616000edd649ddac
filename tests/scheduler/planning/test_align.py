"""Re-assignment of the backlog against linear programmes, and who is set aside."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from scheduler.planning.align import ModelPools, align, allowed_levels, in_time

ONE = ModelPools(np.array([4.0, 3.0, 2.0]), np.array([4.0, 3.0, 2.0]), np.zeros(3, int), np.array([4.0]))
TWO = ModelPools(np.array([4.0, 2.5, 1.0]), np.array([4.0, 2.5, 1.0]), np.array([0, 0, 1]), np.array([5.0, 3.0]))


def prompts(n: int, seed: int = 0) -> np.ndarray:
    tolerance = np.random.default_rng(seed).exponential(size=n)
    return 1 - tolerance[:, None] * np.array([0.0, 0.05, 0.12])


def best_total(pools: ModelPools, quality: np.ndarray, budget: np.ndarray) -> float:
    """Most total quality of the transport problem, fractions allowed."""
    n, m = quality.shape
    whole = np.kron(np.eye(n), np.ones(m))
    spend = np.stack([np.tile(np.where(pools.model == k, pools.seconds, 0.0), n) for k in range(len(budget))])
    return -linprog(-quality.ravel(), A_ub=spend, b_ub=budget, A_eq=whole, b_eq=np.ones(n)).fun


@pytest.mark.parametrize(("pools", "budget"), [(ONE, [300.0]), (TWO, [220.0, 60.0]), (TWO, [400.0, 30.0])])
def test_the_total_is_that_of_the_linear_programme_but_for_rounding(pools: ModelPools, budget: list[float]) -> None:
    quality = prompts(110)
    found = align(pools, quality, np.full(110, 1e6), budget=np.array(budget))
    spent = np.bincount(pools.model[found.levels], pools.seconds[found.levels], minlength=len(budget))
    assert (spent <= np.array(budget) + 1e-6).all()
    total = quality[np.arange(110), found.levels].sum()
    assert total >= best_total(pools, quality, np.array(budget)) - 0.15


def test_prompts_that_lose_alike_are_split_so_that_the_time_is_used() -> None:
    found = align(ONE, np.tile([1.0, 0.97, 0.9], (100, 1)), np.full(100, 1e6), budget=np.array([300.0]))
    assert ONE.seconds[found.levels].sum() == pytest.approx(300.0, abs=4.0)


def test_a_request_that_no_level_can_finish_is_set_aside_and_takes_no_time_from_others() -> None:
    left = np.array([1.0, 2.5, 30.0, 1.9])
    found = align(ONE, prompts(4), left)
    assert found.unreachable.tolist() == [0, 3]
    assert (found.levels[[1, 2]] >= 0).all()


def test_of_a_crowd_with_one_deadline_as_many_are_kept_as_can_be_in_time() -> None:
    # 4 workers, 2 s each at the cheapest: starts at 0, .5, 1, … as a fluid; in time while start + 2 ≤ 10
    able = in_time(ONE, np.ones((40, 3), bool), np.full(40, 10.0))
    assert able.sum() == 17


def test_nothing_is_assigned_to_a_model_without_workers() -> None:
    closed = ModelPools(TWO.seconds, TWO.latency, TWO.model, np.array([0.0, 3.0]))
    found = align(closed, prompts(20), np.full(20, 1e6))
    assert set(found.levels.tolist()) == {2}


def test_floors_are_kept_and_the_best_open_level_stands_in() -> None:
    quality = np.array([[1.0, 0.95, 0.9], [1.0, 0.95, 0.9]])
    assert allowed_levels(TWO, quality, np.array([0.93, 2.0])).tolist() == [[True, True, False], [True, False, False]]
    found = align(ONE, quality, np.full(2, 1e6), floors=np.array([0.93, 1.0]), budget=np.array([0.1]))
    assert found.levels.tolist() == [1, 0]


def test_ten_thousand_waiting_are_all_answered_within_the_budget() -> None:
    quality, budget = prompts(10_000, 3), np.array([18_000.0, 4_000.0])
    found = align(TWO, quality, np.full(10_000, 1e6), budget=budget)
    assert (found.levels >= 0).all()
    spent = np.bincount(TWO.model[found.levels], TWO.seconds[found.levels], minlength=2)
    assert (spent <= budget * 1.002).all()
    total = quality[np.arange(10_000), found.levels].sum()
    assert total >= best_total(TWO, quality[::20], budget / 20) * 20 - 20


def test_an_empty_backlog_is_no_work() -> None:
    assert len(align(ONE, np.zeros((0, 3)), np.zeros(0)).levels) == 0
