"""The default latency target follows what the reference level takes on this machine, as workers measured it."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from core.database import transaction
from core.families import load_family
from core.profiles import read_profile
from core.settings import ROOT, settings
from core.tables import Worker
from scheduler.observation.target import UNMEASURED_S, latency_target_s


def worker(name: str, device_type: str, exact_s: float | None, seconds_ago: float = 0.0) -> Worker:
    seen = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    about = {"device": "cpu:0", "family": "embedded", "state": "ready", "models": [], "queues": []}
    return Worker(
        name=name, boot=uuid.uuid4(), device_type=device_type, stats={"exact_s": exact_s}, seen_at=seen, **about
    )


def target(*workers: Worker, family) -> float:
    with transaction() as session:
        session.add_all(workers)
        session.flush()
        found = latency_target_s(session, family)
        session.rollback()
    return found


@pytest.fixture
def family(database):
    return load_family("embedded")


def test_it_is_a_multiple_of_what_exact_takes_on_the_slowest_type_of_device(family):
    assert target(worker("a", "quick", 1.0), worker("b", "slow", 4.0), family=family) == pytest.approx(12.0)


def test_the_newest_worker_of_a_type_speaks_for_it(family):
    assert target(worker("a", "cpu2", 9.0, 60), worker("b", "cpu2", 1.0), family=family) == pytest.approx(3.0)


def test_a_type_of_device_that_is_gone_says_nothing_while_another_works(family):
    gone = worker("a", "slow", 9.0, seconds_ago=3600)
    assert target(gone, worker("b", "quick", 1.0), family=family) == pytest.approx(3.0)
    assert target(gone, family=family) == pytest.approx(27.0)


def test_nobody_who_waits_notices_less_than_two_seconds(family):
    assert target(worker("a", "quick", 0.01), family=family) == 2.0


def test_without_a_measurement_the_profile_speaks_and_without_a_profile_a_guess(family):
    said = read_profile(ROOT / "profiles/embedded/cpu.json").level(family.reference).latency_s
    assert target(worker("a", "cpu", None), family=family) == max(2.0, 3 * said)
    assert target(worker("a", "unknown", None), family=family) == 3 * UNMEASURED_S
    assert target(family=family) == 3 * UNMEASURED_S


def test_a_target_that_is_set_is_the_target(family, monkeypatch):
    monkeypatch.setenv("ARGUS_SLO_S", "0.5")
    settings.cache_clear()
    assert target(worker("a", "cpu", 9.0), family=family) == 0.5
    monkeypatch.undo()
    settings.cache_clear()
