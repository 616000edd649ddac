"""What a worker has room for."""

from __future__ import annotations

import uuid

from core.requests import Claim
from core.tables import Request
from workers.claims import Claims


def claim() -> Claim:
    return Claim(Request(id=uuid.uuid4(), level="exact"), uuid.uuid4(), 1)


class Clock:
    """Seconds that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_worker_held_for_lost_has_no_room_until_it_says_that_it_is_alive() -> None:
    clock = Clock()
    claims = Claims(lambda level: 0.4, lease_s=15.0, clock=clock)
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
    claims = Claims(lambda level: 0.4, lease_s=15.0, clock=clock)
    began = clock.now
    clock.now += 20.0  # the database answered so late
    claims.renew(began)
    assert claims.lapsed
