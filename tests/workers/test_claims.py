"""What a worker has room for."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from core.requests import Claim
from core.tables import Request
from workers.claims import Claims


def claim(level: str = "exact") -> Claim:
    return Claim(Request(id=uuid.uuid4(), level=level), uuid.uuid4(), 1)


def nobody_slows(front: Sequence[str], behind: Sequence[str]) -> bool:
    return False


class Clock:
    """Seconds that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_worker_held_for_lost_has_no_room_until_it_says_that_it_is_alive() -> None:
    clock = Clock()
    claims = Claims(lambda level: 0.4, nobody_slows, lease_s=15.0, clock=clock)
    assert claims.has_room
    assert claims.has_idle_room
    clock.now += 16.0  # it was stopped meanwhile, and did not notice
    assert not claims.has_room
    assert not claims.has_idle_room
    claims.add(claim())
    assert claims.messages == 1
    claims.renew(clock.now)
    assert claims.has_room
    assert claims.messages == 2


def test_a_sign_of_life_counts_from_when_it_was_begun() -> None:
    clock = Clock()
    claims = Claims(lambda level: 0.4, nobody_slows, lease_s=15.0, clock=clock)
    began = clock.now
    clock.now += 20.0  # the database answered so late
    claims.renew(began)
    assert claims.lapsed


def test_who_had_company_at_any_time_did_not_run_alone() -> None:
    claims = Claims(lambda level: 0.4, nobody_slows)
    first, second, third = claim(), claim(), claim()
    claims.add(first)
    assert not claims.accompanied
    claims.add(second)
    claims.remove(second)
    assert claims.accompanied == {first.request.id}, "though it is alone again"
    claims.remove(first)
    claims.add(third)
    assert not claims.accompanied


def test_background_work_stays_beside_others_as_far_as_there_is_room() -> None:
    claims = Claims(lambda level: 0.4, nobody_slows)
    behind = [claim(), claim()]
    for each in behind:
        claims.add(each, background=True)
    claims.add(claim())
    assert claims.preempt() == [behind[0].request.id]
    assert claims.preempt() == []


def test_background_work_that_slows_those_in_front_leaves_as_soon_as_one_starts() -> None:
    def slow(front: Sequence[str], behind: Sequence[str]) -> bool:
        return (bool(front) and len(behind) > 1) or "slow" in behind

    claims = Claims(lambda level: 0.1, slow)
    behind = [claim(), claim("slow"), claim()]
    for each in behind:
        claims.add(each, background=True)
    claims.add(claim())
    assert claims.preempt() == [each.request.id for each in behind[:2]]
    assert claims.preempt() == []
