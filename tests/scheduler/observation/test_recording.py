"""What is read off the rows of a live run: how long a hand-over took, how fast each request was drawn."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from core.families import load_family
from core.tables import Attempt, Request
from scheduler.observation.recording import hand_over, paces
from scheduler.policies import Cluster, make_policy
from tests.scheduler.policies.small_cluster import SLO, profile

BEGAN = datetime(2026, 11, 27, tzinfo=UTC)
FAMILY = load_family("embedded")
SIZE = FAMILY.defaults


def seen(
    at: float, started: float, ended: float, model: str = "a", step_s: float | None = None
) -> tuple[Request, Attempt]:
    """A request at `exact` with its attempt; times in seconds."""
    first, last = (BEGAN + timedelta(seconds=s) for s in (started, ended))
    attempt = Attempt(id=uuid.uuid4(), worker="w", level="exact", model=model, started_at=first, ended_at=last)
    attempt.step_s, attempt.steps_run, attempt.batch_mean = step_s, 10, 1.0
    return Request(accepted_at=BEGAN + timedelta(seconds=at), width=SIZE.width, height=SIZE.height), attempt


def test_only_who_finds_nobody_waiting_tells_how_long_a_hand_over_takes() -> None:
    at, started = [0.0, 10.0, 11.0, 50.0], [0.1, 30.0, 35.0, 50.1]  # the third waits behind the second
    assert hand_over(at[:1] + at[3:], started[:1] + started[3:]) == pytest.approx(0.1)
    busy = range(40)  # all but the first find somebody
    more = [*at, *(100.0 + i for i in busy)], [*started, *(150.0 + 5 * i for i in busy)]
    assert hand_over(*more) == pytest.approx(0.1)
    assert hand_over([0.0], [None]) == 0.0


def test_the_pace_of_a_request_is_that_of_its_own_steps() -> None:
    policy = make_policy("argus", Cluster({"a100": profile()}, SLO))
    level = profile().level("exact")
    step_s = (level.latency_s - level.encode_s - level.decode_s) / 10
    slow, beside, untimed = seen(0, 0, 10, "a", 1.5 * step_s), seen(20, 20, 30, "a", step_s), seen(21, 21, 31, "b")
    small = seen(30, 30, 40, "a", 0.25 * step_s)
    small[0].width //= 2
    assert paces([slow, beside, untimed, small], policy, FAMILY) == [
        pytest.approx(1 + 5 * step_s / level.latency_s, abs=1e-3),
        1.0,
        None,
        None,
    ]
