"""Decisions are made by the clock as it is now, not as it was when the rows were last read."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from core.database import transaction
from core.tables import State
from core.workers import WorkerIdentity
from scheduler.control.router import Router
from scheduler.control.tick import Scheduler
from scheduler.observation.snapshot import FRESH_S, SnapshotReader
from scheduler.policies import LoadState
from scheduler.policies.argus import Argus
from tests.live.rows import join, requests, submit
from workers.admission import PolicyAdmission, claim


@pytest.fixture
def decided_at(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock that each decision of `argus` was made by, against the real one: how old it was."""
    ages: list[float] = []

    def watched(method: Any) -> Any:
        def decide(self: Argus, *arguments: Any) -> Any:
            ages.append(time.time() - next(a.now for a in arguments if isinstance(a, LoadState)))
            return method(self, *arguments)

        return decide

    monkeypatch.setattr(Argus, "route", watched(Argus.route))
    monkeypatch.setattr(Argus, "admit", watched(Argus.admit))
    return ages


def test_routing_and_admission_ask_the_clock_though_the_rows_were_read_before(
    family: Any, decided_at: list[float]
) -> None:
    join()
    Scheduler(family).tick()
    router, admission = Router(family), PolicyAdmission(family, "cpu0@test", "cpu")
    submit(1)
    router.route()
    claim(family, WorkerIdentity("cpu0@test", uuid.uuid4()), ["exact", "fs-4"], admission)
    decided_at.clear()
    time.sleep(FRESH_S / 2)  # both snapshots are kept
    submit(1)
    router.route()
    claim(family, WorkerIdentity("cpu0@test", uuid.uuid4()), ["exact", "fs-4"], admission)
    assert len(decided_at) == 2
    assert max(decided_at) < 0.1


def test_what_a_claim_starts_counts_before_the_rows_are_read_again(family: Any) -> None:
    join()
    Scheduler(family).tick()
    reader = SnapshotReader(family)
    with transaction() as session:
        snapshot = reader.snapshot(session)
    assert reader.load_now(snapshot).busy_s["large"] == 0.0
    reader.count_started("exact")
    assert reader.load_now(snapshot).busy_s["large"] == pytest.approx(60 / 300, abs=0.05)


def test_requests_that_named_their_level_wait_but_are_no_share_of_the_plan(family: Any) -> None:
    join()
    Scheduler(family).tick()
    router, begun = Router(family), time.monotonic()
    submit(3)
    submit(2, level_asked="fs-4")
    submit(4, service_class="batch")
    router.route()
    with transaction() as session:
        load = router.reader.load_now(router.reader.snapshot(session))
    done = (time.monotonic() - begun) * 300 / 60  # by the profile's rate, at most
    assert sum(load.routed.values()) == 3
    assert 5 - 2 - done <= load.waiting["large"] <= 5  # one slot, and what it has done since


def test_the_note_says_in_words_why_a_level_was_lowered(family: Any) -> None:
    join()
    submit(400, state=State.QUEUED, level="exact", epoch=0)
    Scheduler(family).tick()
    job = submit(20)
    Router(family).route()
    notes = {row.level: row.note for row in requests(job)}
    assert set(notes) - {"exact"}
    for level, note in notes.items():
        if level != "exact":
            assert note.startswith(f"{level} instead of exact: ")
            assert "requests wait" in note
            assert "% of the quality of exact" in note
