"""One process reads the load from the rows, all others from it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import text

from bench.scheduler.scale import counted
from core import shared_values
from core.database import transaction
from core.families import load_family
from core.shared_values import SharedValues
from core.tables import State
from scheduler.control.tick import Scheduler
from scheduler.observation import readings
from scheduler.observation.readings import Readings, ReadingsShared, SharedReadings
from scheduler.observation.snapshot import Snapshot, SnapshotReader
from tests.live.rows import join, submit


@pytest.fixture
def family(database: Any, toy: Any):
    return load_family(str(toy))


def look(reader: SnapshotReader) -> Snapshot:
    with transaction() as session:
        return reader.snapshot(session)


def planned(family: Any) -> None:
    """Three workers, work that waits, a plan, and readings of it all that somebody has shared."""
    for n in range(3):
        join(f"cpu{n}@test")
    submit(12, state=State.QUEUED, level="exact", epoch=0)
    Scheduler(family).tick()
    look(SnapshotReader(family))


def test_what_one_has_read_the_others_do_not_ask_the_database_for(family: Any) -> None:
    planned(family)
    readers = [SnapshotReader(family) for _ in range(20)]
    with counted() as seen:
        found = [look(reader) for reader in readers]
    assert seen == []
    assert {snapshot.epoch.number for snapshot in found} == {1}
    assert all(snapshot.load.workers == {"large": 3} for snapshot in found)
    assert all(snapshot.is_served("exact") and not snapshot.is_served("sm-small") for snapshot in found)


def test_shared_readings_say_what_the_rows_say(family: Any) -> None:
    planned(family)
    shared = SharedReadings(family)
    with transaction() as session:
        told, read = shared.newest(session), shared.read(session)
    assert told.waiting == read.waiting == {"exact": 12}
    assert (told.epoch, told.policy, told.target_s) == (read.epoch, read.policy, read.target_s)
    assert [w.queues for w in told.workers] == [w.queues for w in read.workers]
    assert Readings.from_json(read.to_json()).to_json() == read.to_json()


def test_one_reader_a_second_reads_the_rows(family: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings, "EVERY_S", 0.2)
    planned(family)
    shared = [SharedReadings(family) for _ in range(50)]
    time.sleep(0.3)
    taken = []
    for one in shared:
        with counted() as seen, transaction() as session:
            one.newest(session)
        taken.append(bool(seen))
    assert taken[0]
    assert sum(taken) <= 3


def test_while_the_scheduler_shares_nobody_else_reads(family: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    planned(family)
    monkeypatch.setattr(readings, "SCHEDULER_EVERY_S", 0.1)
    sharing = ReadingsShared(family)
    sharing.start()
    try:
        time.sleep(1.3)
        other = SharedReadings(family)
        monkeypatch.setattr(other, "read", lambda *_, **__: pytest.fail("read the rows"))
        for _ in range(10):
            with transaction() as session:
                other.newest(session)
            time.sleep(0.05)
    finally:
        sharing.stopped.set()
        sharing.join()


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis://10.255.255.1:6379/0"])
def test_without_a_broker_each_reads_for_itself_and_goes_on(
    family: Any, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    planned(family)
    away = SharedValues(url)
    monkeypatch.setattr(readings, "shared_values", lambda: away)
    reader = SnapshotReader(family)
    began = time.perf_counter()
    assert look(reader).load.waiting["large"] > 0
    assert time.perf_counter() - began < 1.0
    with counted() as seen:
        assert look(SnapshotReader(family)).epoch is not None
    assert seen


def test_values_nobody_understands_are_not_used(family: Any) -> None:
    planned(family)
    shared_values.shared_values().put("readings:toy", {"at": 1.0, "of": "another version"}, 3.0, 1.0)
    assert look(SnapshotReader(family)).load.workers == {"large": 3}


def test_a_change_that_decisions_must_know_of_is_known_at_once(family: Any) -> None:
    planned(family)
    join("cpu9@test")
    SnapshotReader(family).invalidate()
    assert look(SnapshotReader(family)).load.workers == {"large": 4}


def test_own_claims_count_though_the_readings_are_older(family: Any) -> None:
    planned(family)
    reader = SnapshotReader(family)
    look(reader)
    reader.count_started("exact")
    reader._kept = None  # its time is over; the readings that are shared are still those of before
    with counted() as seen:
        snapshot = look(reader)
    assert seen == []
    assert 0 < reader.load_now(snapshot).busy_s["large"] <= 60 / 300  # less what has passed meanwhile


def test_the_database_is_asked_when_what_was_shared_has_expired(family: Any) -> None:
    planned(family)
    shared_values.shared_values().forget("readings:toy")
    with counted() as seen:
        look(SnapshotReader(family))
    assert any("FROM request" in statement for statement in seen)
    with transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM plan")) == 1
