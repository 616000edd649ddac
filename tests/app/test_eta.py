"""When a job will be done: from its own rate once some of it was drawn, else from what workers can draw of its kind."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from app.records.estimate import estimate
from app.records.eta import ETAS, read_etas
from core.database import transaction
from core.families import Family
from core.tables import Attempt, Request, ServiceClass
from core.workers import WorkerIdentity, register
from tests.app.conftest import draw

Submit = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def read_anew() -> None:
    ETAS._read_at = -9.0


def drawn(job: dict[str, Any], count: int, over_s: float, device_s: float) -> None:
    """The first of a job, evenly over the last seconds; each took so much of a worker."""
    for place, request in enumerate(job["requests"][:count]):
        draw(request["id"])
        ago = over_s * (count - place) / count
        with transaction() as session:
            mine = update(Attempt).where(Attempt.request_id == uuid.UUID(request["id"]))
            session.execute(mine.values(ended_at=func.now() - timedelta(seconds=ago), denoise_s=device_s, batch_mean=1))


def workers(count: int) -> None:
    about = {"device": "cpu:0", "device_type": "cpu", "family": "paper", "state": "ready"}
    for place in range(count):
        register(WorkerIdentity(f"cpu{place}@here", uuid.uuid4()), **about, models=[], queues=[], stats={})


def eta(client: FlaskClient, job: dict[str, Any]) -> dict[str, Any] | None:
    ETAS._read_at = -9.0
    return client.get(job["links"]["self"]).get_json()["eta"]


def test_before_anything_was_drawn_nobody_knows(client: FlaskClient, submit: Submit) -> None:
    assert eta(client, submit(prompt="a")) is None


def test_a_job_that_is_drawn_goes_on_at_its_own_rate(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompts=["a"] * 30)
    drawn(job, 10, over_s=90, device_s=1.0)
    found = eta(client, job)
    assert found is not None
    assert found["images_per_minute"] == pytest.approx(6, rel=0.1)
    assert found["seconds"] == pytest.approx(200, rel=0.1)


def test_a_job_that_has_not_begun_waits_for_those_before_it_at_the_rate_of_the_workers(
    client: FlaskClient, submit: Submit
) -> None:
    before = submit(prompts=["a"] * 12, service_class="batch")
    drawn(before, 4, over_s=8, device_s=2.0)  # too few, over too short a time, for a rate of its own
    last = submit(prompts=["b"] * 10, service_class="batch")
    workers(2)
    found = eta(client, last)
    assert found == {"seconds": pytest.approx(18.0), "ahead": 8, "images_per_minute": pytest.approx(60.0)}
    client.post(f"/v1/jobs/{last['id']}/reorder", json={"priority": "first"})
    found = eta(client, last)
    assert found is not None
    assert (found["seconds"], found["ahead"]) == (pytest.approx(10.0), 0)


def test_rows_of_a_batch_share_its_steps_and_not_what_each_of_them_takes_alone(
    client: FlaskClient, submit: Submit
) -> None:
    drawn(submit(prompts=["a"] * 4), 4, over_s=8, device_s=4.0)
    with transaction() as session:
        session.execute(update(Attempt).values(batch_mean=4, encode_s=0.5, decode_s=0.5))
    workers(1)
    found = eta(client, submit(prompts=["b"] * 3))
    assert found == {"seconds": pytest.approx(6.0), "ahead": 0, "images_per_minute": pytest.approx(30.0)}


def test_batch_work_has_what_interactive_requests_leave(client: FlaskClient, submit: Submit) -> None:
    drawn(submit(prompts=["a"] * 20), 20, over_s=100, device_s=2.5)  # half of one worker
    waiting = submit(prompts=["b"] * 10, service_class="batch")
    workers(1)
    found = eta(client, waiting)
    assert found is not None
    assert found["images_per_minute"] == pytest.approx(12, rel=0.1)


def test_what_is_paused_or_done_has_none_and_goes_before_nothing(
    client: FlaskClient, submit: Submit, family: Family
) -> None:
    job = submit(prompts=["a"] * 12)
    drawn(job, 10, over_s=60, device_s=1.0)
    with transaction() as session:
        assert estimate(session, family, ServiceClass.INTERACTIVE, {}).waiting == 2
    client.post(f"/v1/jobs/{job['id']}/pause")
    assert eta(client, job) is None
    with transaction() as session:
        assert estimate(session, family, ServiceClass.INTERACTIVE, {}).waiting == 0
    client.post(f"/v1/jobs/{job['id']}/cancel")
    assert eta(client, job) is None
    with transaction() as session:
        assert read_etas(session) == {}
        assert session.scalar(select(Request.id).limit(1))
