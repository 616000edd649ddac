"""What the scheduler knows between two looks at the rows."""

from __future__ import annotations

from scheduler.observation.snapshot import Pool


def test_nobody_waits_while_places_are_free() -> None:
    pool = Pool(places=2, per_s=0.0)
    assert [pool.add() for _ in range(4)] == [0, 0, 1, 2]
    assert pool.with_ahead(2.0).add() == 1


def test_what_workers_have_done_since_is_taken_off() -> None:
    pool = Pool(places=2, per_s=10.0, ahead=6.0)
    pool.at -= 0.3
    assert pool.add() == 2  # six, less three done, and one more: four for two places
    pool.at -= 60.0
    assert pool.add() == 0  # a worker that has had nothing to do is not owed anything
    assert pool.ahead == 1.0
