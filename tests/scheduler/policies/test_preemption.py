"""Who gives way to whom, by slack: tiny cases solved by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.policies import make_policy
from scheduler.policies.preemption import Due, gives_way
from tests.scheduler.policies.small_cluster import cluster, load_state, request


def one(deadline: float, takes_s: float, least_s: float | None = None) -> Due:
    return Due(deadline, takes_s, takes_s if least_s is None else least_s)


def test_a_long_request_with_slack_gives_way_to_a_short_one_that_would_be_late() -> None:
    assert gives_way([one(2.0, 1.0)], [one(30.0, 8.0)], 0.0) == 0


def test_nobody_gives_way_to_one_that_can_wait_for_the_next_end() -> None:
    assert gives_way([one(10.0, 1.0)], [one(30.0, 8.0)], 0.0) is None


def test_nobody_gives_way_to_one_that_is_late_anyway() -> None:
    assert gives_way([one(0.5, 1.0)], [one(30.0, 8.0)], 0.0) is None


def test_nobody_gives_way_to_one_whose_fastest_level_can_wait() -> None:
    assert gives_way([one(9.0, 2.0, least_s=0.5)], [one(30.0, 8.0)], 0.0) is None
    assert gives_way([one(9.0, 2.0)], [one(30.0, 8.0)], 0.0) == 0


def test_nobody_gives_way_who_would_be_late_for_it() -> None:
    assert gives_way([one(2.0, 1.0)], [one(8.9, 8.0)], 0.0) is None
    assert gives_way([one(2.0, 1.0)], [one(9.1, 8.0)], 0.0) == 0


def test_who_gives_way_bears_all_who_wait_with_an_earlier_deadline() -> None:
    pressed, others = one(2.0, 1.0), [one(12.0, 3.0), one(14.0, 3.0)]
    assert gives_way([pressed, *others], [one(14.5, 8.0)], 0.0) is None
    assert gives_way([pressed, *others], [one(15.5, 8.0)], 0.0) == 0
    assert gives_way([pressed, others[1]], [one(13.0, 8.0)], 0.0) == 0


def test_of_several_the_one_with_most_slack_gives_way() -> None:
    running = [one(20.0, 8.0), one(40.0, 8.0), one(30.0, 8.0)]
    assert gives_way([one(2.0, 1.0)], running, 0.0) == 1


dues = st.builds(one, st.floats(0, 50), st.floats(0.1, 20))


@given(st.lists(dues, max_size=5), st.lists(dues, min_size=1, max_size=5))
def test_who_gives_way_is_due_after_one_that_waits_and_is_still_in_time_alone(waiting, running) -> None:
    chosen = gives_way(waiting, running, 0.0)
    if chosen is not None:
        paused = running[chosen]
        assert paused.deadline > min(each.deadline for each in waiting)
        assert paused.slack_s(0.0) == max(each.slack_s(0.0) for each in running)
        saved = [each for each in waiting if each.deadline < paused.deadline and each.slack_s(0.0) >= 0]
        assert any(each.takes_s + paused.takes_s < paused.deadline for each in saved)


def test_argus_pauses_the_long_for_the_short_by_their_own_lengths() -> None:
    policy = make_policy("argus", cluster())
    long = replace(request(), deadline=40.0, lengths=(4.0, 4.0, 4.0))  # 16.8 s at exact
    short = replace(request(), deadline=3.0, lengths=(0.5, 0.5, 0.5))  # 2.1 s at exact, 1.05 s at ac-25
    state = load_state()
    assert policy.gives_way([(short, "exact")], [(long, "exact")], state) == 0
    assert policy.gives_way([(replace(short, lengths=()), "exact")], [(long, "exact")], state) == 0  # ac-25: 2.1 s
    assert policy.gives_way([(replace(short, deadline=2.0, lengths=()), "exact")], [(long, "exact")], state) is None
    assert policy.gives_way([(short, "exact")], [(replace(long, done=0.9), "exact")], state) is None  # 1.7 s are left


def test_with_one_target_for_all_and_one_length_nobody_is_paused() -> None:
    policy = make_policy("argus", cluster())
    state = load_state(now=4.0)
    running = [(replace(request(arrived=arrived), done=0.1), "exact") for arrived in (0.0, 1.0)]
    assert policy.gives_way([(request(arrived=2.0), "exact")], running, state) is None


@pytest.mark.parametrize("done", [0.0, 0.5])
def test_a_request_that_has_begun_keeps_its_level(done: float) -> None:
    policy = make_policy("argus", cluster())
    late = replace(request(), deadline=7.0, done=done, lengths=(2.0, 2.0, 2.0))  # 8.4 s at exact, 4.2 s at ac-25
    other = replace(request(), deadline=60.0, lengths=(4.0, 4.0, 4.0))
    pressed = policy.gives_way([(late, "exact")], [(other, "exact")], load_state())
    assert pressed == 0  # whole, it is saved by ac-25; half done, it has 4.2 s left at exact
