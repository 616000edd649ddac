"""Clients of OpenAI and AUTOMATIC1111: their questions get their answers, drawn as any other job is."""

from __future__ import annotations

import base64
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from app import listening, waiting
from app.jobs import cancel
from core.database import transaction
from core.tables import Request, State
from tests.app.conftest import configured, draw, rows

OPENAI, A1111 = "/v1/images/generations", "/sdapi/v1/txt2img"
BOTH = pytest.mark.parametrize("address", [OPENAI, A1111])
PNG = b"\x89PNG"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "POLL_S", 0.02)


@contextmanager
def worker(finish: Callable[[str], object] = draw) -> Iterator[None]:
    """Meanwhile a thread does to every accepted request what `finish` says: by default, draw it."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.02):
            with transaction() as session:
                waiting = session.scalars(select(Request.id).where(Request.state == State.ACCEPTED)).all()
            for request in waiting:
                finish(str(request))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


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


def test_the_web_ui_is_answered_with_images_parameters_and_infotexts(client: FlaskClient) -> None:
    wanted = {
        "prompt": "a red apple",
        "negative_prompt": "a worm",
        "seed": 7,
        "steps": "10",
        "cfg_scale": 3,
        "batch_size": 2,
        "n_iter": 1,
        "sampler_name": "Euler a",
        "denoising_strength": 0.7,
        "enable_hr": False,
        "override_settings": {"sd_model_checkpoint": "ac-5", "sd_vae": "None"},
    }
    with worker(lambda request: draw(request, "ac-5")):
        answer = client.post(A1111, json=wanted)
    assert answer.status_code == 200, answer.text
    body = answer.get_json()
    assert all(base64.b64decode(image).startswith(PNG) for image in body["images"])
    used = body["parameters"]
    assert (used["prompt"], used["steps"], used["width"]) == ("a red apple", 10, 64)
    info = json.loads(body["info"])
    assert (info["seed"], info["all_seeds"], info["sd_model_name"]) == (7, [7, 8], "ac-5")
    assert [told["level"] for told in info["argus"]] == ["ac-5", "ac-5"]
    prompt, negative, parameters = info["infotexts"][1].splitlines()
    assert (prompt, negative) == ("a red apple", "Negative prompt: a worm")
    assert parameters.startswith("Steps: 10, Sampler: Automatic, CFG scale: 3, Seed: 8, Size: 64x64, Model: large, ")
    assert "Argus level: ac-5" in parameters
    assert [(row.level_asked, row.guidance, row.seed) for row in stored()] == [("ac-5", 3.0, 7), ("ac-5", 3.0, 8)]


WRONG_THERE: list[tuple[dict[str, Any], int, str, str]] = [
    ({}, 422, "bad_prompt", "prompt"),
    ({"prompt": "a", "width": 512, "height": 512}, 422, "out_of_range", "width"),
    ({"prompt": "a", "steps": 51}, 422, "out_of_range", "steps"),
    ({"prompt": "a", "steps": "many"}, 400, "bad_input", "steps"),
    ({"prompt": "a", "cfg_scale": 30}, 422, "out_of_range", "cfg_scale"),
    ({"prompt": "a", "seed": -2}, 422, "out_of_range", "seed"),
    ({"prompt": "a", "n_iter": 9}, 422, "out_of_range", "n_iter"),
    ({"prompt": "a", "enable_hr": True}, 400, "bad_input", "enable_hr"),
    ({"prompt": "a", "styles": ["noir"]}, 400, "bad_input", "styles"),
    ({"prompt": "a", "alwayson_scripts": {"controlnet": {}}}, 400, "bad_input", "alwayson_scripts"),
    (
        {"prompt": "a", "override_settings": {"sd_model_checkpoint": "sd15"}},
        422,
        "unknown_level",
        "override_settings.sd_model_checkpoint",
    ),
]


@pytest.mark.parametrize(("body", "status", "stable", "field"), WRONG_THERE)
def test_the_web_ui_s_clients_are_told_what_cannot_be_drawn_in_their_own_words(
    client: FlaskClient, body: dict[str, Any], status: int, stable: str, field: str
) -> None:
    answer = client.post(A1111, json=body, headers={"Accept": "*/*"})
    assert (answer.status_code, code(answer)) == (status, stable)
    assert answer.get_json()["errors"].startswith(f"{field}: ")
    assert rows() == (0, 0)


def test_what_the_web_ui_s_clients_ask_beside_images_is_answered_and_changes_nothing(client: FlaskClient) -> None:
    assert [sampler["name"] for sampler in client.get("/sdapi/v1/samplers").get_json()] == ["Automatic"]
    options = client.get("/sdapi/v1/options").get_json()
    assert options["sd_model_checkpoint"] == "paper"
    assert client.post("/sdapi/v1/options", json={"sd_model_checkpoint": "fs-10"}).get_json() == options
    assert client.get("/sdapi/v1/cmd-flags").get_json()["api"] is True


def test_progress_is_that_of_the_web_ui_s_own_jobs(client: FlaskClient, submit: Callable[..., dict[str, Any]]) -> None:
    submit(prompt="somebody else's")
    assert client.get("/sdapi/v1/progress").get_json()["progress"] == 0.0
    with configured(ARGUS_COMPAT_WAIT_S="0.01"):
        job = client.post(A1111, json={"prompt": "a", "batch_size": 2}).headers["X-Argus-Job"]
    draw(client.get(f"/v1/jobs/{job}").get_json()["requests"][0]["id"])
    told = client.get("/sdapi/v1/progress").get_json()
    assert (told["progress"], told["state"]["job_count"]) == (0.5, 1)


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
