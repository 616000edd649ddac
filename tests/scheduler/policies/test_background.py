"""Batch windows are deadlines; what missed its deadline is owed a start in the end."""

from __future__ import annotations

import pytest

from core.profiles import parse_profile
from scheduler.policies import Cluster
from scheduler.policies.background import OWED_SHARE, Owed, slows, urgent
from scheduler.policies.latency import LatencyTable


def test_batch_work_is_urgent_when_no_more_than_a_target_latency_is_left() -> None:
    assert urgent([100.0, 200.0, 300.0], now=89.0, lead_s=10.0, per_s=1.0) == []
    assert urgent([100.0, 200.0, 300.0], now=90.0, lead_s=10.0, per_s=1.0) == [0]


def test_those_that_share_a_deadline_start_as_early_as_the_pool_needs() -> None:
    together = [100.0] * 11  # the pool does one in two seconds: the first must start 20 s before the last
    assert urgent(together, now=70.0, lead_s=10.0, per_s=0.5) == [0]
    assert urgent(together, now=80.0, lead_s=10.0, per_s=0.5) == [0, 1, 2, 3, 4, 5]
    assert urgent(together, now=90.0, lead_s=10.0, per_s=0.5) == list(range(11))


def test_those_behind_that_are_not_queued_yet_take_their_time_too() -> None:
    assert urgent([100.0] * 2, now=70.0, lead_s=10.0, per_s=0.5) == []
    assert urgent([100.0] * 2, now=70.0, lead_s=10.0, per_s=0.5, unread=[(100.0, 9)]) == [0]
    assert urgent([100.0] * 2, now=72.5, lead_s=10.0, per_s=0.5, unread=[(100.0, 4), (100.5, 5)]) == [0, 1]
    assert urgent([], now=99.0, lead_s=10.0, per_s=0.5, unread=[(100.0, 9)]) == []


def test_many_behind_one_make_it_urgent_though_its_own_deadline_is_far() -> None:
    assert urgent([500.0] + [100.0 + 400] * 100, now=300.0, lead_s=0.0, per_s=0.5)[0] == 0


def test_a_worker_gives_what_is_owed_a_small_share_of_its_time() -> None:
    owed = Owed()
    assert owed.allows(0.0)
    owed.started(0.0, seconds=2.0)
    assert not owed.allows(1.99 / OWED_SHARE)
    assert owed.allows(2.0 / OWED_SHARE)


def latencies(second_row: float) -> LatencyTable:
    """Two levels of one model and one of another; a step of two rows takes so many times as long as one of one."""
    batch = [{"size": 1, "step_s": 0.1}, {"size": 2, "step_s": 0.1 * second_row}]
    level = {"requests_per_minute": 120 / second_row, "latency_s": 1.0, "batch": batch}
    levels = [{**level, "id": name, "model": model} for name, model in (("a", "m"), ("b", "m"), ("c", "n"))]
    return LatencyTable(Cluster({"d": parse_profile({"family": "f", "device": "d", "levels": levels})}, 10.0))


@pytest.mark.parametrize(("second_row", "expected"), [(1.01, False), (1.2, True)])
def test_a_row_more_slows_those_in_front_where_the_profile_says_that_it_costs_something(
    second_row: float, expected: bool
) -> None:
    assert slows(latencies(second_row), "d", [0], [1]) is expected


def test_background_work_of_another_model_takes_turns_and_so_slows() -> None:
    assert slows(latencies(1.01), "d", [0], [2])


def test_nobody_is_slowed_where_nobody_is_in_front_or_behind() -> None:
    assert not slows(latencies(2.0), "d", [], [1, 2])
    assert not slows(latencies(2.0), "d", [0], [])
