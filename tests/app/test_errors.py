"""Errors of our own addresses are problems by RFC 9457; those of other APIs stay as their clients know them."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from core.errors import BadInput, kinds


def test_a_problem_says_what_where_and_what_to_do(client: FlaskClient) -> None:
    answer = client.post("/v1/jobs", json={"prompt": "a fox", "steps": 99})
    assert (answer.status_code, answer.mimetype) == (422, "application/problem+json")
    message = "`steps` is 99, which is outside 1 to 50."
    assert answer.get_json() == {
        "type": "/docs/errors#out_of_range",
        "title": "Out of range",
        "status": 422,
        "detail": message,
        "instance": f"/v1/jobs#{answer.headers['X-Request-ID']}",
        "code": "out_of_range",
        "field": "steps",
        "help": "Choose a value inside the range the message names.",
        "error": {"code": "out_of_range", "message": message, "field": "steps"},
    }


def test_the_type_of_every_problem_leads_to_its_line(client: FlaskClient) -> None:
    page = client.get("/docs/errors").text
    for kind in kinds():
        address, _, code = kind("?").as_problem("here")["type"].partition("#")
        assert (address, f'id="{code}"' in page) == ("/docs/errors", True), code


def test_types_begin_with_the_path_at_which_a_proxy_has_argus(client: FlaskClient) -> None:
    answer = client.get("/v1/nowhere", base_url="http://localhost/argus")
    assert answer.get_json()["type"] == "/argus/docs/errors#not_found"
    assert answer.get_json()["instance"].startswith("/argus/v1/nowhere#")


def test_an_address_in_a_problem_is_written_for_headers_and_pages(client: FlaskClient) -> None:
    instance = client.get("/v1/%00<script>é").get_json()["instance"]
    assert instance.startswith("/v1/%00%3Cscript%3E%C3%A9#")


@pytest.mark.parametrize(
    ("address", "body", "shape"),
    [
        ("/v1/images/generations", {}, {"error": {"message", "type", "param", "code"}}),
        ("/sdapi/v1/txt2img", {"steps": -1}, {"detail"}),
    ],
)
def test_errors_of_other_apis_stay_as_their_clients_know_them(
    client: FlaskClient, address: str, body: dict[str, Any], shape: Any
) -> None:
    answer = client.post(address, json=body)
    told = answer.get_json()
    assert answer.mimetype == "application/json"
    assert "instance" not in told
    assert set(shape) <= set(told)


def test_titles_are_words_of_the_code() -> None:
    assert BadInput.title() == "Bad input"
