"""A worker says that it is alive, whatever else it is at, and holds its message while the database is away."""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from core import requests, workers
from core.database import transaction
from core.tables import Attempt, State, Worker
from tests.live.site import Site
from workers.heartbeat import Heartbeat
from workers.housekeeping import Housekeeping


@pytest.fixture
def house(site: Site) -> Housekeeping:
    """The site's worker with a row."""
    about: dict[str, Any] = {"device": "cpu:0", "device_type": "cpu", "family": "toy", "state": "starting"}
    workers.register(site.generation.identity, **about, models=[], queues=[], stats={})
    return Housekeeping(site.generation, Heartbeat(site.generation))


def seen_at(site: Site) -> Any:
    with transaction() as session:
        return session.get_one(Worker, site.generation.identity.name).seen_at


def test_the_heart_beats_while_a_claim_waits_for_its_lock(site: Site, house: Housekeeping):
    house.heartbeat.every_s = 0.1
    with site.generation.claiming:
        house.start()
        before = seen_at(site)
        end = time.monotonic() + 20
        while seen_at(site) == before and time.monotonic() < end:
            time.sleep(0.05)
        assert seen_at(site) > before
    house.stop()


def test_a_message_is_kept_while_the_database_is_away(site: Site, monkeypatch: pytest.MonkeyPatch):
    request, asked = site.submit(steps=2), []
    claim = site.generation.claim_beside

    def away(others: Any) -> Any:
        asked.append(others)
        if len(asked) < 3:
            raise OperationalError("UPDATE", {}, Exception("away"))
        return claim(others)

    monkeypatch.setattr(site.generation, "claim_beside", away)
    site.generation.generate(request, 0)
    assert site.row(request).state == State.DONE


def test_a_worker_that_stops_waits_for_no_database(site: Site, monkeypatch: pytest.MonkeyPatch):
    def away(others: Any) -> Any:
        raise OperationalError("UPDATE", {}, Exception("away"))

    monkeypatch.setattr(site.generation, "claim_beside", away)
    waiting = threading.Thread(target=site.generation.generate, args=(uuid.uuid4(), 0))
    waiting.start()
    time.sleep(0.5)
    site.generation.stop(0)
    waiting.join(10)
    assert not waiting.is_alive()


def test_a_claim_whose_answer_was_lost_goes_back_to_its_queue(site: Site, house: Housekeeping):
    """The commit reached the database, its answer did not reach the worker: nobody is at the attempt."""
    lost, running = site.submit(steps=2), site.submit(steps=40)
    requests.claim(lost, site.generation.identity, site.family.model_of, ["exact"])
    slot = site.begin(running)
    house._release_orphans()
    assert [site.row(one).state for one in (lost, running)] == [State.QUEUED, State.RUNNING]
    with transaction() as session:
        assert session.query(Attempt.outcome).filter(Attempt.request_id == lost).scalar() == "returned"
    site.finish(slot)
