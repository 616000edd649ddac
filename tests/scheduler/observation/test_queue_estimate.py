"""What is known of a queue between two reads of the rows."""

from __future__ import annotations

import time

import pytest

from scheduler.observation.queue_estimate import QueueEstimate


def waiting_after(queue: QueueEstimate, routed: int) -> list[int]:
    found = []
    for _ in range(routed):
        queue.routed()
        found.append(queue.waiting)
    return found


def test_nobody_waits_while_slots_are_free() -> None:
    assert waiting_after(QueueEstimate(slots=2, per_s=0.0), 4) == [0, 0, 1, 2]


def test_what_workers_have_finished_since_is_taken_off() -> None:
    queue = QueueEstimate(slots=2, per_s=10.0, ahead=6.0, at=time.time() - 0.3)
    assert waiting_after(queue, 1) == [2]  # six, less three finished, and one more: four for two slots
    queue.at -= 60.0
    assert waiting_after(queue, 1) == [0]  # a worker that has had nothing to do is not owed anything
    assert queue.ahead == pytest.approx(1.0, abs=0.1)


def test_work_in_progress_grows_by_what_starts_and_falls_as_workers_work() -> None:
    queue = QueueEstimate(slots=4, per_s=1.0, workers=2, busy_s=3.0, at=time.time() - 1.0)
    queue.started(5.0)
    assert queue.busy_s == pytest.approx(3.0 - 2 * 1.0 + 5.0, abs=0.1)
    queue.advance(queue.at + 60.0)
    assert queue.busy_s == 0.0


def test_a_clock_that_goes_back_undoes_nothing() -> None:
    queue = QueueEstimate(slots=1, per_s=1.0, workers=1, ahead=3.0, busy_s=2.0, at=1000.0)
    queue.advance(900.0)
    assert (queue.ahead, queue.busy_s, queue.at) == (3.0, 2.0, 1000.0)
