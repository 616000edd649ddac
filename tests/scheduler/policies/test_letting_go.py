"""Who is let go of where not all can be in time: by hand, and against every possible choice."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.policies import make_policy
from scheduler.policies.letting_go import Candidate, given_up
from tests.scheduler.policies.small_cluster import WORKER, argus, cluster, load_state, request

SLACKS = st.lists(st.floats(0.0, 6.0), min_size=1, max_size=7).map(sorted)


def one(slack_s: float, quality: float = 0.9, takes_s: float = 1.0) -> Candidate:
    return Candidate(slack_s, takes_s, quality)


def test_nobody_goes_while_all_fit() -> None:
    assert given_up([one(0.0), one(1.0), one(2.0)], 1, 0.0) == []
    assert given_up([one(0.5), one(0.5), one(0.5)], 2, 0.0) == [0]  # two by then: of equals the first
    assert given_up([one(0.5), one(0.5)], 2, 0.0) == []


def test_who_would_lose_most_goes_though_another_does_not_fit() -> None:
    assert given_up([one(0.5, 0.95), one(1.5, 0.60), one(1.6, 0.90)], 1, 0.0) == [1]
    assert given_up([one(0.5, 0.60), one(0.6, 0.95)], 1, 0.0) == [0]


def test_who_does_not_fit_goes_itself_if_nobody_before_it_would_lose_more() -> None:
    assert given_up([one(0.5, 0.95), one(0.6, 0.90)], 1, 0.0) == [1]


def test_a_long_request_goes_before_several_short_ones() -> None:
    assert given_up([one(0.0, 0.95, takes_s=3.0), one(1.5, 0.90), one(2.0, 0.90)], 1, 0.0) == [0]


def test_who_is_too_late_in_any_case_is_not_judged_and_takes_nobodys_place() -> None:
    assert given_up([one(-1.0), one(0.5), one(1.5)], 1, 0.0) == []
    assert given_up([one(0.5), one(1.5), one(2.5)], 1, 1.0) == []  # the first could not start before 1.0


@given(SLACKS, st.data(), st.integers(1, 3), st.floats(0.0, 2.0))
def test_where_all_take_equally_long_no_other_choice_has_more_in_time_or_is_worth_more(slacks, data, workers, before_s):
    qualities = data.draw(st.lists(st.floats(0.5, 1.0), min_size=len(slacks), max_size=len(slacks)))
    candidates = [one(*pair) for pair in zip(slacks, qualities, strict=True)]
    judged = [i for i, each in enumerate(candidates) if before_s <= workers * each.slack_s]
    gone = given_up(candidates, workers, before_s)
    assert set(gone) <= set(judged)
    kept = [i for i in judged if i not in gone]
    assert fits(candidates, kept, workers, before_s)
    best = max(
        (worth(candidates, those) for n in range(len(judged) + 1) for those in combinations(judged, n)
         if fits(candidates, those, workers, before_s)),
    )  # fmt: skip
    assert worth(candidates, kept) == pytest.approx(best)


def fits(candidates, those, workers, before_s) -> bool:
    """Whether they start in time one after the other."""
    return all(before_s + k <= workers * candidates[i].slack_s for k, i in enumerate(those))


def worth(candidates, those) -> float:
    return sum(2.0 + candidates[i].quality for i in those)


def test_argus_lets_go_of_the_prompt_that_loses_most_and_starts_the_next() -> None:
    policy, epoch = argus()
    state = replace(load_state(), workers={"sdxl": 1})
    hard, easy = ((replace(request(quality), deadline=2.3), "exact") for quality in ((1.0, 0.8, 0.6), (1.0, 1.0, 1.0)))
    answer = policy.admit(WORKER, [hard, easy], epoch, state)
    assert (answer.start, answer.level, answer.unreachable) == (1, "ac-25", (0,))
    answer = policy.admit(WORKER, [easy, hard], epoch, state)
    assert (answer.start, answer.unreachable) == (0, (1,))


def test_nobody_is_let_go_of_who_has_time_nor_where_all_queue() -> None:
    policy, epoch = argus()
    pressed = [(replace(request(), deadline=2.3), "exact")] * 2
    assert policy.admit(WORKER, pressed, epoch, load_state()).unreachable == ()  # eight workers
    policy.admission_control = False
    assert policy.admit(WORKER, pressed, epoch, replace(load_state(), workers={"sdxl": 1})).unreachable == ()


def test_a_policy_that_does_not_know_prompts_lets_nobody_go_for_them() -> None:
    policy = make_policy("pac", cluster())
    epoch = argus()[1]
    hard, easy = ((replace(request(quality), deadline=2.3), "ac-25") for quality in ((1.0, 0.8, 0.6), (1.0, 1.0, 1.0)))
    alone = replace(load_state(), workers={"ac-25": 1}, waiting={"ac-25": 2})
    answer = policy.admit(replace(WORKER, model="ac-25"), [hard, easy], epoch, alone)
    assert (answer.start, answer.unreachable) == (0, ())
