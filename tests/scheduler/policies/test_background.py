"""Batch windows are deadlines; what missed its deadline is owed a start in the end."""

from __future__ import annotations

from scheduler.policies.background import OWED_SHARE, Owed, urgent


def test_batch_work_is_urgent_when_no_more_than_a_target_latency_is_left() -> None:
    assert urgent([100.0, 200.0, 300.0], now=89.0, lead_s=10.0, per_s=1.0) == []
    assert urgent([100.0, 200.0, 300.0], now=90.0, lead_s=10.0, per_s=1.0) == [0]


def test_those_that_share_a_deadline_start_as_early_as_the_pool_needs() -> None:
    together = [100.0] * 11  # the pool does one in two seconds: the first must start 20 s before the last
    assert urgent(together, now=70.0, lead_s=10.0, per_s=0.5) == [0]
    assert urgent(together, now=80.0, lead_s=10.0, per_s=0.5) == [0, 1, 2, 3, 4, 5]
    assert urgent(together, now=90.0, lead_s=10.0, per_s=0.5) == list(range(11))


def test_many_behind_one_make_it_urgent_though_its_own_deadline_is_far() -> None:
    assert urgent([500.0] + [100.0 + 400] * 100, now=300.0, lead_s=0.0, per_s=0.5)[0] == 0


def test_a_worker_gives_what_is_owed_a_small_share_of_its_time() -> None:
    owed = Owed()
    assert owed.allows(0.0)
    owed.started(0.0, seconds=2.0)
    assert not owed.allows(1.99 / OWED_SHARE)
    assert owed.allows(2.0 / OWED_SHARE)
