"""Pages of origins that are listed may call the API; nobody else's, and none with cookies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from core.errors import BadSettings
from core.settings import load_settings
from tests.app.conftest import configured, rows

STUDIO = "https://studio.example.org"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-stainless-os"}
API = ["/v1/jobs", "/v1/images/generations", "/sdapi/v1/txt2img"]


@pytest.fixture(autouse=True)
def _listed(client: FlaskClient) -> Iterator[None]:
    with configured(ARGUS_CORS_ORIGINS=f"{STUDIO}, http://localhost:3000"):
        yield


@pytest.mark.parametrize("path", API)
def test_a_listed_page_is_told_what_it_may_send(client: FlaskClient, path: str) -> None:
    answer = client.options(path, headers={"Origin": STUDIO, **PREFLIGHT})
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == STUDIO
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert "x-stainless-os" in answer.headers["Access-Control-Allow-Headers"]
    assert "Origin" in answer.headers["Vary"]


def test_a_listed_page_submits_reads_and_sees_the_headers_it_needs(client: FlaskClient) -> None:
    here = {"Origin": STUDIO, "Sec-Fetch-Site": "cross-site"}
    answer = client.post("/v1/jobs", json={"prompt": "a fox"}, headers=here)
    assert answer.status_code == 202
    assert answer.headers["Access-Control-Allow-Origin"] == STUDIO
    for name in ("X-Argus-Job", "Retry-After", "X-Request-ID"):
        assert name in answer.headers["Access-Control-Expose-Headers"]
    refused = client.post("/v1/jobs", json={"prompt": ""}, headers=here)
    assert (refused.status_code, refused.headers["Access-Control-Allow-Origin"]) == (422, STUDIO)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", f"{STUDIO}.evil.example", "http://studio.example.org", f"{STUDIO}:444"]
)
def test_another_page_is_told_nothing_and_changes_nothing(client: FlaskClient, origin: str) -> None:
    answers = [
        client.options("/v1/jobs", headers={"Origin": origin, **PREFLIGHT}),
        client.get("/v1/jobs", headers={"Origin": origin}),
        client.post("/v1/jobs", json={"prompt": "a fox"}, headers={"Origin": origin, "Sec-Fetch-Site": "cross-site"}),
    ]
    assert not any("Access-Control-Allow-Origin" in answer.headers for answer in answers)
    assert answers[2].status_code == 403
    assert rows() == (0, 0)


def test_forms_and_pages_stay_ours(client: FlaskClient) -> None:
    here = {"Origin": STUDIO, "Sec-Fetch-Site": "cross-site"}
    assert client.post("/", data={"prompts": "a fox"}, headers=here).status_code == 403
    assert "Access-Control-Allow-Origin" not in client.get("/", headers=here).headers


def test_the_name_that_is_called_has_to_be_known_all_the_same(client: FlaskClient) -> None:
    assert client.get("/v1/jobs", headers={"Origin": STUDIO, "Host": "evil.example"}).status_code == 403


@pytest.mark.parametrize("origins", [STUDIO, "*"])
def test_cookies_are_never_allowed(client: FlaskClient, origins: str) -> None:
    with configured(ARGUS_CORS_ORIGINS=origins):
        answer = client.get("/v1/jobs", headers={"Origin": STUDIO})
    assert answer.headers["Access-Control-Allow-Origin"] == origins
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_without_the_setting_nobody_is_told_anything(client: FlaskClient) -> None:
    with configured(ARGUS_CORS_ORIGINS=""):
        answer = client.options("/v1/jobs", headers={"Origin": STUDIO, **PREFLIGHT})
    assert not any(name.startswith("Access-Control") for name, _ in answer.headers)


@pytest.mark.parametrize("value", ["studio.example.org", "https://a.b/path", "https://a b"])
def test_an_origin_that_is_none_stops_the_start(value: str) -> None:
    with pytest.raises(BadSettings, match="ARGUS_CORS_ORIGINS"):
        load_settings({"ARGUS_CORS_ORIGINS": value})
