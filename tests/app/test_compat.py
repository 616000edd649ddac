"""Clients of OpenAI and AUTOMATIC1111: their questions get their answers, drawn as any other job is."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from app import listening, waiting
from app.jobs import cancel
from core.database import transaction
from core.tables import Request, State
from tests.app.conftest import configured, draw, meanwhile, rows

OPENAI, A1111 = "/v1/images/generations", "/sdapi/v1/txt2img"
BOTH = pytest.mark.parametrize("address", [OPENAI, A1111])
PNG = b"\x89PNG"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "POLL_S", 0.02)


def worker(finish: Callable[[str], object] = draw) -> AbstractContextManager[None]:
    """Meanwhile a thread does to every accepted request what `finish` says: by default, draw it."""

    def work() -> None:
        with transaction() as session:
            waiting = session.scalars(select(Request.id).where(Request.state == State.ACCEPTED)).all()
        for request in waiting:
            finish(str(request))

    return meanwhile(work)


def fail(request: str) -> None:
    values = {"state": State.FAILED, "error_code": "not_a_number", "error": "There is a NaN in the latent."}
    with transaction() as session:
        session.execute(update(Request).where(Request.id == uuid.UUID(request)).values(**values))


def stop(request: str) -> None:
    with transaction() as session:
        job = session.get_one(Request, uuid.UUID(request)).job_id
    cancel(job)


def stored() -> list[Request]:
    """All requests, in order."""
    with transaction() as session:
        return list(session.scalars(select(Request).order_by(Request.position)))


def code(answer: Any) -> str:
    """The code of an error, in whichever shape; the shape is complete and says something."""
    body = answer.get_json()
    if isinstance(body["error"], dict):
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert len(body["error"]["message"]) > 10
        return str(body["error"]["code"])
    assert set(body) == {"error", "detail", "body", "errors"}
    assert body["detail"] in body["errors"]
    return str(body["error"])


@pytest.mark.parametrize("model", [None, "auto", "paper"])
def test_no_model_and_the_family_leave_the_level_to_argus(client: FlaskClient, model: str | None) -> None:
    with worker():
        assert client.post(OPENAI, json={"prompt": "a", "model": model}).status_code == 200
        asked = {"prompt": "a", "override_settings": {"sd_model_checkpoint": model}}
        assert client.post(A1111, json=asked).status_code == 200
    assert [row.level_asked for row in stored()] == ["auto", "auto"]


def test_the_family_and_its_levels_are_the_models_of_both(client: FlaskClient) -> None:
    listed = client.get("/v1/models").get_json()
    there = client.get("/sdapi/v1/sd-models").get_json()
    assert [model["id"] for model in listed["data"]] == ["paper", "exact", "ac-5", "fs-10"]
    assert [model["model_name"] for model in there] == [model["id"] for model in listed["data"]]


@BOTH
def test_who_waits_too_long_is_told_the_job_which_goes_on(client: FlaskClient, address: str) -> None:
    with configured(ARGUS_COMPAT_WAIT_S="0.05"):
        answer = client.post(address, json={"prompt": "a"})
    assert (answer.status_code, code(answer)) == (504, "took_too_long")
    job = answer.headers["X-Argus-Job"]
    assert job in answer.text
    assert answer.headers["X-Should-Retry"] == "false"
    assert client.get(f"/v1/jobs/{job}").get_json()["state"] == "waiting"


@BOTH
def test_a_request_that_failed_is_an_error_with_its_own_code(client: FlaskClient, address: str) -> None:
    with worker(fail):
        answer = client.post(address, json={"prompt": "a"})
    assert (answer.status_code, code(answer)) == (500, "not_a_number")
    assert "NaN" in answer.text
    assert answer.headers["X-Argus-Job"] in answer.text


@BOTH
def test_a_job_that_was_cancelled_is_an_error(client: FlaskClient, address: str) -> None:
    with worker(stop):
        answer = client.post(address, json={"prompt": "a"})
    assert (answer.status_code, code(answer)) == (409, "cancelled")
    assert answer.headers["X-Should-Retry"] == "false"


@BOTH
def test_those_who_find_no_place_to_wait_are_refused_before_anything_is_stored(
    client: FlaskClient, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "PLACES_TO_WAIT", waiting.Places(1, 1))
    with worker():
        assert client.post(address, json={"prompt": "a"}).status_code == 200
        leave = waiting.PLACES_TO_WAIT.take("127.0.0.1", 7.0, "")
        answer = client.post(address, json={"prompt": "a"})
        leave()
        assert answer.headers["Retry-After"] == "7"
        assert (answer.status_code, code(answer)) == (429, "too_often")
        assert "X-Should-Retry" not in answer.headers
        assert rows() == (1, 1)
        assert client.post(address, json={"prompt": "a"}).status_code == 200


@BOTH
def test_pages_of_other_sites_and_bodies_that_are_not_json_are_refused(client: FlaskClient, address: str) -> None:
    plain = client.post(address, data='{"prompt": "a"}', content_type="text/plain")
    assert (plain.status_code, code(plain)) == (415, "wrong_media_type")
    foreign = client.post(address, json={"prompt": "a"}, headers={"Origin": "http://elsewhere.example"})
    assert (foreign.status_code, code(foreign)) == (403, "forbidden")
    broken = client.post(address, data="{", content_type="application/json")
    assert (broken.status_code, code(broken)) == (400, "bad_input")
    assert rows() == (0, 0)


@BOTH
def test_submissions_here_count_towards_the_limit(client: FlaskClient, address: str) -> None:
    from app import create_app

    with configured(ARGUS_RATE_LIMIT="1/minute"):
        limited = create_app().test_client()
        with worker():
            assert limited.post(address, json={"prompt": "a"}).status_code == 200
        refused = limited.post(address, json={"prompt": "a"})
    assert (refused.status_code, code(refused)) == (429, "too_often")
    assert refused.headers["Retry-After"]
