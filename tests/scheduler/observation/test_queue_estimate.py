"""What is known of a queue between two reads of the rows."""

from __future__ import annotations

import pytest

from scheduler.observation.queue_estimate import QueueEstimate


def test_nobody_waits_while_slots_are_free() -> None:
    queue = QueueEstimate(slots=2, per_s=0.0)
    assert [queue.add() for _ in range(4)] == [0, 0, 1, 2]
    assert queue.with_ahead(2.0).add() == 1


def test_what_workers_have_finished_since_is_taken_off() -> None:
    queue = QueueEstimate(slots=2, per_s=10.0, ahead=6.0)
    queue.at -= 0.3
    assert queue.add() == 2  # six, less three finished, and one more: four for two slots
    queue.at -= 60.0
    assert queue.add() == 0  # a worker that has had nothing to do is not owed anything
    assert queue.ahead == pytest.approx(1.0)
