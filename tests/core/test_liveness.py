"""A process that does not take what it could take ends."""

from __future__ import annotations

import threading

from core.liveness import Progress
from core.one_at_a_time import OneAtATime


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def looked(progress: Progress, clock: Clock, seconds: int, could_take: bool, taken: int) -> bool:
    stalls = False
    for _ in range(seconds // 2):
        clock.now += 2
        stalls = progress.look(could_take, taken)
    return stalls


def test_only_who_could_take_something_and_takes_nothing_for_long_stalls() -> None:
    clock = Clock()
    progress = Progress(30.0, clock)
    assert not looked(progress, clock, 100, could_take=False, taken=0)
    assert not looked(progress, clock, 30, could_take=True, taken=0)
    assert not looked(progress, clock, 30, could_take=True, taken=1)  # it has taken one
    assert not looked(progress, clock, 2, could_take=False, taken=1)  # it was full
    assert not looked(progress, clock, 30, could_take=True, taken=1)
    assert looked(progress, clock, 4, could_take=True, taken=1)


def test_a_process_that_was_stopped_begins_anew() -> None:
    clock = Clock()
    progress = Progress(30.0, clock)
    assert not looked(progress, clock, 20, could_take=True, taken=0)
    clock.now += 600
    assert not looked(progress, clock, 30, could_take=True, taken=0)


def test_work_that_hangs_is_named_and_its_next_turns_are_dropped() -> None:
    clock, begun, go_on, turns = Clock(), threading.Event(), threading.Event(), []
    alone = OneAtATime({"tick": 120.0}, clock)

    def hang() -> None:
        begun.set()
        assert go_on.wait(10)

    thread = threading.Thread(target=alone, args=("tick", hang))
    thread.start()
    assert begun.wait(10)
    alone("tick", lambda: turns.append(1))
    alone("learn", lambda: turns.append(2))
    assert alone.hung() is None
    clock.now = 121.0
    assert alone.hung() == "tick has not ended for 120 s"
    go_on.set()
    thread.join(10)
    assert alone.hung() is None
    alone("tick", lambda: turns.append(3))
    assert turns == [2, 3]
