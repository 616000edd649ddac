"""What is read off the rows of a live run: how long a hand-over took, how fast each request was drawn."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from core.tables import Attempt, Request
from scheduler.observation.recording import hand_over, paces
from scheduler.policies import Cluster, make_policy
from tests.scheduler.policies.small_cluster import SLO, profile

BEGAN = datetime(2026, 11, 27, tzinfo=UTC)


def seen(at: float, started: float, ended: float, model: str = "a", denoise_s: float = 0.0) -> tuple[Request, Attempt]:
    """A request at `exact` with its attempt; times in seconds."""
    first, last = (BEGAN + timedelta(seconds=s) for s in (started, ended))
    attempt = Attempt(id=uuid.uuid4(), worker="w", level="exact", model=model, started_at=first, ended_at=last)
    attempt.denoise_s, attempt.steps_run, attempt.batch_mean = denoise_s, 10, 1.0
    return Request(accepted_at=BEGAN + timedelta(seconds=at)), attempt


def test_only_who_finds_nobody_waiting_tells_how_long_a_hand_over_takes() -> None:
    at, started = [0.0, 10.0, 11.0, 50.0], [0.1, 30.0, 35.0, 50.1]  # the third waits behind the second
    assert hand_over(at[:1] + at[3:], started[:1] + started[3:]) == pytest.approx(0.1)
    busy = range(40)  # all but the first find somebody
    more = [*at, *(100.0 + i for i in busy)], [*started, *(150.0 + 5 * i for i in busy)]
    assert hand_over(*more) == pytest.approx(0.1)
    assert hand_over([0.0], [None]) == 0.0


def test_a_request_that_ran_beside_another_model_does_not_show_its_own_pace() -> None:
    policy = make_policy("argus", Cluster({"a100": profile()}, SLO))
    level = profile().level("exact")
    steps_s = level.latency_s - level.encode_s - level.decode_s
    alone = seen(0.0, 0.0, 10.0, denoise_s=1.5 * steps_s)
    alike = [seen(20.0, 20.0, 30.0, denoise_s=steps_s), seen(21.0, 21.0, 31.0, denoise_s=steps_s)]
    mixed = [seen(40.0, 40.0, 50.0, "a", steps_s), seen(41.0, 41.0, 51.0, "b", steps_s)]
    found = paces([alone, *alike, *mixed], policy)
    assert found == [pytest.approx(1 + 0.5 * steps_s / level.latency_s, abs=1e-3), 1.0, 1.0, None, None]
