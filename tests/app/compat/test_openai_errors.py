"""Every error at OpenAI's addresses has its API's body and the status that its clients' classes expect."""

from __future__ import annotations

import http.client
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.app.conftest import rows
from tests.app.web_process import HEAD, Web, web_process
from tests.conftest import Services

GENERATIONS = "/v1/images/generations"


def told(answer: Any) -> tuple[int, str, str | None]:
    """Status, code and param of an error, whose body is complete and whose header names the call."""
    assert answer.mimetype == "application/json"
    assert len(answer.headers["X-Request-ID"]) == 16
    error = answer.get_json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert len(error["message"]) > 10
    assert error["type"] == ("permission_error" if answer.status_code == 403 else "invalid_request_error")
    return answer.status_code, error["code"], error["param"]


@pytest.fixture(scope="module")
def web(services: Services, family_file: Path) -> Iterator[Web]:
    with web_process(services, family_file) as running:
        yield running


def test_what_is_wrong_with_a_request_is_400_whatever_it_is(client: FlaskClient) -> None:
    assert told(client.post(GENERATIONS, json={"prompt": ""})) == (400, "bad_prompt", "prompt")
    assert told(client.post(GENERATIONS, json={})) == (400, "bad_input", "prompt")
    assert told(client.post(GENERATIONS, json={"prompt": "a", "n": 11})) == (400, "out_of_range", "n")
    assert told(client.post(GENERATIONS, json=["a"]))[:2] == (400, "bad_input")
    broken = client.post(GENERATIONS, data='{"prompt": "a"', content_type="application/json")
    assert told(broken) == (400, "bad_input", "body")
    assert rows() == (0, 0)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("address", [GENERATIONS, "/v1/images/edits", "/v1/images/variations"])
def test_a_wrong_method_says_which_is_right(client: FlaskClient, address: str, method: str) -> None:
    answer = client.open(address, method=method)
    assert told(answer) == (405, "wrong_method", None)
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("address", ["/v1/images", "/v1/images/", "/v1/images/upscale", "/v1/models/a/b"])
def test_an_address_that_is_not_there_is_404(client: FlaskClient, address: str) -> None:
    assert told(client.post(address, json={}))[:2] == (404, "not_found")


def test_a_wrong_media_type_another_site_and_another_name_are_told_so_too(client: FlaskClient) -> None:
    plain = client.post(GENERATIONS, data='{"prompt": "a"}', content_type="text/plain")
    assert told(plain) == (415, "wrong_media_type", None)
    foreign = client.post(GENERATIONS, json={"prompt": "a"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert told(foreign)[:2] == (403, "forbidden")
    other_name = client.post(GENERATIONS, json={"prompt": "a"}, headers={"Host": "img.example.org"})
    assert told(other_name)[:2] == (403, "forbidden")


def test_the_native_image_address_keeps_the_native_body(client: FlaskClient) -> None:
    answer = client.get("/v1/images/00000000-0000-0000-0000-000000000000")
    assert set(answer.get_json()["error"]) == {"code", "message", "field"}
    assert answer.headers["X-Request-ID"]


FORMS: list[dict[str, Any]] = [
    {"data": {"prompt": "a", "image": (io.BytesIO(b"\x89PNG"), "a.png"), "mask": (io.BytesIO(b""), "m.png")}},
    {"data": {"model": "gpt-image-1"}},
    {"data": b"\x00\xff" * 50, "content_type": "multipart/form-data; boundary=none"},
    {"data": b"no boundary", "content_type": "multipart/form-data"},
    {"json": {"prompt": "a", "images": [{"image_url": "http://elsewhere.example/a.png"}]}},
    {"data": b"{", "content_type": "application/json"},
    {"data": b""},
]


@pytest.mark.parametrize("form", range(len(FORMS)))
def test_variations_want_words_whatever_the_form_holds(client: FlaskClient, form: int) -> None:
    sent = dict(FORMS[form])
    if isinstance(sent.get("data"), dict):
        sent["data"] = {name: _fresh(value) for name, value in sent["data"].items()}
    answer = client.post("/v1/images/variations", **sent)
    assert told(answer) == (400, "text_to_image_only", "image")
    assert "drawn by words" in answer.get_json()["error"]["message"]


def _fresh(value: Any) -> Any:
    return (io.BytesIO(value[0].getvalue()), value[1]) if isinstance(value, tuple) else value


@pytest.mark.parametrize(
    ("address", "parts"),
    [(GENERATIONS, {"message", "type", "param", "code"}), ("/v1/jobs", {"code", "message", "field"})],
)
def test_a_body_over_the_limit_is_told_so_by_the_server_itself(web: Web, address: str, parts: set[str]) -> None:
    with web.connect() as connection:
        connection.sendall(f"{HEAD.replace('/v1/jobs', address)}Content-Length: 99000000\r\n\r\n".encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 413
        assert len(answer.headers["X-Request-ID"]) == 16
        assert set(json.loads(answer.read())["error"]) == parts
