"""A worker that is killed at work: what it had runs elsewhere within its lease and a few seconds."""

from __future__ import annotations

import signal
import time
import uuid

import pytest

from core.celery import publish
from core.messages import SCHEDULER_QUEUE, Reconcile
from core.tables import Attempt, Request
from tests.live.conftest import Stack

LONG = {"steps": 400, "level_asked": "exact"}
OTHER = "cpu1@test"
MANY = 24  # more than one worker takes at once
BOUND_S = 30.0  # measured 11 and 15 s with a lease of 8 s; here it is 4 s, and the machine may be slow


@pytest.fixture
def taken(stack: Stack) -> tuple[uuid.UUID, list[Attempt]]:
    """Work for two workers, and what the other one has of it."""
    if OTHER not in stack.supervisor.pids():
        stack.start_worker(OTHER)
    job = stack.submit(MANY, seconds=600.0, **LONG)
    stack.publish(job)
    stack.wait_for(lambda: bool(of_other(stack, job)), "work at the other worker")
    return job, of_other(stack, job)


def of_other(stack: Stack, job: uuid.UUID) -> list[Attempt]:
    return [one for one in stack.attempts(job) if one.worker == OTHER and one.outcome is None]


def elsewhere(stack: Stack, lost: list[Attempt]) -> bool:
    rows = stack.rows(Request, Request.id.in_([attempt.request_id for attempt in lost]))
    return all(row.attempts > 1 and row.state.value in ("running", "done") for row in rows)


def reconciled_until_elsewhere(stack: Stack, lost: list[Attempt]) -> float:
    """Seconds until it all runs at another worker, with the messages that beat sends."""
    began = time.monotonic()
    while not elsewhere(stack, lost):
        assert time.monotonic() < began + 2 * BOUND_S, stack.supervisor.tail("scheduler", 30)
        publish(SCHEDULER_QUEUE, [Reconcile()])
        time.sleep(1.0)
    return time.monotonic() - began


def test_what_a_killed_worker_had_runs_elsewhere(stack: Stack, taken: tuple[uuid.UUID, list[Attempt]]) -> None:
    job, lost = taken
    stack.end(OTHER, signal.SIGKILL)
    assert reconciled_until_elsewhere(stack, lost) < BOUND_S
    stack.wait_done(job)
    assert len(stack.images(job)) == MANY
    assert {attempt.outcome for attempt in stack.attempts(job)} == {"done", "lost"}
