"""What Argus draws for itself is nobody's traffic: nobody is shown it, waits behind it, or is refused because of it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, update

from app import backlog, jobs
from app.records.eta import read_etas
from core.database import transaction
from core.own_work import SOURCE
from core.tables import Attempt, Job
from core.workers import WorkerIdentity, register
from tests.app.conftest import configured, draw

Submit = Callable[..., dict[str, Any]]


@pytest.fixture
def audit(submit: Submit) -> dict[str, Any]:
    """Eight images that Argus draws again, the first of them just done, in a second of a device."""
    job = submit(prompt="a", n=8, service_class="batch")
    draw(job["requests"][0]["id"])
    with transaction() as session:
        session.execute(update(Job).where(Job.id == uuid.UUID(job["id"])).values(source=SOURCE, client=None))
        drawn = {"ended_at": func.now() - timedelta(seconds=5), "denoise_s": 1.0, "batch_mean": 1.0}
        session.execute(update(Attempt).values(**drawn))
    return job


def test_what_waits_and_runs_of_it_is_not_in_the_plan_that_people_read(client: FlaskClient, audit: Any) -> None:
    assert client.get("/v1/plan").get_json()["waiting"] == {}


def test_no_job_is_told_to_wait_for_it_or_judged_by_it(client: FlaskClient, audit: Any, submit: Submit) -> None:
    register(
        WorkerIdentity("cpu0@here", uuid.uuid4()),
        **{"device": "cpu:0", "device_type": "cpu", "family": "paper", "state": "ready"},
        **{"models": [], "queues": [], "stats": {}},
    )
    later = submit(prompt="a", n=2, service_class="batch")
    with transaction() as session:
        assert read_etas(session) == {}  # nothing of users' was drawn lately
    draw(later["requests"][0]["id"])
    with transaction() as session:
        mine = update(Attempt).where(Attempt.request_id == uuid.UUID(later["requests"][0]["id"]))
        session.execute(mine.values(ended_at=func.now(), denoise_s=3.0, batch_mean=1.0))
    with transaction() as session:
        (eta,) = read_etas(session).values()
    assert (eta.ahead, eta.images_per_minute) == (0, pytest.approx(20.0))


def test_nobody_is_refused_because_of_it(
    client: FlaskClient, audit: Any, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "BACKLOG", backlog.Backlog())
    with configured(ARGUS_MAX_WAITING="8", ARGUS_MAX_WAITING_CLIENT="8"):
        submit(prompt="a", n=8)
        full = client.post("/v1/jobs", json={"prompt": "a"})
    assert full.status_code == 429
    assert int(full.headers["Retry-After"]) == backlog.LONGEST_S  # at the rate of users' images, of which there is none
