"""A device that fails: the request goes elsewhere; one that breaks every device, alone too, fails itself."""

from __future__ import annotations

import threading
import time
import uuid
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from core.attempts import suspected
from core.database import transaction
from core.errors import StoreDown
from core.tables import Attempt, Request, State
from tests.live.site import Site


def breaks_the_device(site: Site, request: uuid.UUID) -> None:
    """The engine's device fails with this request in a forward; its worker would start again with a new engine."""
    adapter = site.engine.load("large").adapter

    def fails(*tensors: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    adapter.forward = fails
    site.generation.generate(request, 0)


def test_a_request_on_a_device_that_fails_goes_back_to_its_queue_and_loses_no_attempt(site: Site):
    request = site.submit(steps=4)
    breaks_the_device(site, request)
    (attempt,) = site.attempts(request)
    assert attempt.outcome == "device_failed"
    assert site.row(request).state == State.QUEUED
    assert suspected(request)


def test_one_that_came_when_the_device_had_failed_is_not_suspected(site: Site):
    first = site.submit(steps=4)
    breaks_the_device(site, first)
    second = site.submit(steps=4, seconds=20.0)  # the more urgent one
    site.generation.generate(second, 0)
    assert [site.attempts(request)[0].outcome for request in (first, second)] == ["device_failed", "returned"]
    assert [suspected(first), suspected(second)] == [True, False]


def test_a_request_with_which_devices_fail_also_when_it_is_alone_fails_itself(site: Site):
    request = site.submit(steps=4)
    for attempts in range(1, 5):
        assert site.row(request).state == State.QUEUED
        breaks_the_device(site, request)
        assert len(site.attempts(request)) == attempts
        site.start_again()
    outcomes = [attempt.outcome for attempt in site.attempts(request)]
    assert outcomes == ["device_failed", "failed", "failed", "failed"]
    assert (site.row(request).state, site.row(request).error_code) == (State.FAILED, "device_failed")
    assert "was alone" in str(site.row(request).error)


def test_a_suspected_request_runs_alone_and_is_cleared_by_its_image(site: Site):
    suspect = site.submit(steps=4)
    breaks_the_device(site, suspect)
    site.start_again(rows=2)
    with transaction() as session:  # another is more urgent
        session.get_one(Request, suspect).deadline_at += timedelta(seconds=10)
    other = site.submit(steps=8)
    slot = site.begin(other)
    beside = threading.Thread(target=site.generation.generate, args=(suspect, 0))
    beside.start()
    while site.row(suspect).state != State.RUNNING:
        time.sleep(0.01)
    assert site.engine.find(str(suspect)) is None  # claimed, and it waits for the other to end
    site.finish(slot)
    site.finish(beside)
    assert [site.row(one).state for one in (suspect, other)] == [State.DONE] * 2
    assert site.attempts(suspect)[-1].batch_max == site.attempts(other)[-1].batch_max == 1
    assert not suspected(suspect)


def test_while_a_suspect_has_the_device_nobody_else_is_claimed_and_its_row_says_so(site: Site):
    suspect = site.submit(steps=4)
    breaks_the_device(site, suspect)
    site.start_again(rows=2)
    slot = site.begin(suspect, forwards=2)
    other = site.submit(steps=4)
    site.generation.generate(other, 0)
    assert [attempt.alone for attempt in site.attempts(suspect)] == [False, True]
    assert not site.attempts(other)  # left to workers that have room
    site.finish(slot)  # and taken here when the suspect has ended
    assert [site.row(one).state for one in (suspect, other)] == [State.DONE] * 2
    assert not site.attempts(other)[0].alone


@pytest.mark.parametrize("fault", [OperationalError("COMMIT", {}, Exception("gone")), StoreDown("full")])
def test_what_a_request_needs_beside_the_model_and_does_not_get_costs_no_attempt(site: Site, fault: Exception):
    request = site.submit(steps=4)

    def away(*_: Any) -> bool:
        raise fault

    recorder = site.generation.execution.recorder
    recorder.store, store = away, recorder.store
    for _ in range(4):
        site.generation.generate(request, 0)
    recorder.store = store
    site.generation.generate(request, 0)
    assert [attempt.outcome for attempt in site.attempts(request)] == ["returned"] * 4 + ["done"]


def test_what_lost_two_workers_runs_alone(site: Site):
    request = site.submit(steps=4)
    about = {"worker": "w", "boot": uuid.uuid4(), "level": "exact", "model": "large", "outcome": "lost"}
    for number in (1, 2):
        assert not suspected(request)
        with transaction() as session:
            session.add(Attempt(request_id=request, number=number, **about))
    assert suspected(request)
