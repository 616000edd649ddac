"""Below a path of a proxy and by a public name: every address that Argus writes is one that the client can ask for."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import create_app, listening
from core.errors import BadSettings
from core.settings import load_settings
from tests.app.conftest import configured
from tests.app.test_compat import OPENAI, worker
from tests.conftest import Services

PROXY = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "img.example.org", "X-Forwarded-Prefix": "/argus"}
ADDRESS = re.compile(r'(?:href|src|action|hx-get|spec-url)="([^"#?]*)')


@pytest.fixture(params=["header", "setting", "setting, path kept"])
def behind(request: pytest.FixtureRequest, database: Services, family: Any) -> Any:
    """Asks as a proxy at https://img.example.org/argus does."""
    setting = request.param != "header"
    values = {"ARGUS_PUBLIC_URL": "https://img.example.org/argus"} if setting else {"ARGUS_HOSTS": "img.example.org"}
    with configured(ARGUS_TRUSTED_PROXIES="127.0.0.1", **values):
        client = create_app().test_client(use_cookies=False)
        headers = {"Host": "img.example.org"} if setting else PROXY
        cut = request.param != "setting, path kept"

        def ask(method: str, address: str, **given: Any) -> Any:
            """By the address that the client knows; the proxy cuts its path off, or not."""
            assert address.startswith("/argus"), address
            path = (address.removeprefix("/argus") or "/") if cut else address
            given["headers"] = {**headers, **given.get("headers", {})}
            return client.open(path, method=method, **given)

        yield ask


def test_every_link_of_every_page_leads_somewhere(behind: Any) -> None:
    job = behind("POST", "/argus/v1/jobs", json={"prompt": "a fox"}).get_json()
    pages = ["/argus/", "/argus/gallery", "/argus/dashboard", "/argus/docs", job["links"]["page"]]
    pages.append(behind("GET", job["requests"][0]["link"]).get_json()["links"]["page"])
    for page in pages:
        answer = behind("GET", page)
        assert answer.status_code == 200
        for address in ADDRESS.findall(answer.text):
            if address.startswith("/"):
                assert behind("GET", address).status_code in (200, 405), (page, address)
    assert 'data-root="/argus"' in behind("GET", "/argus/").text


def test_links_of_answers_and_redirects_are_below_the_path(behind: Any) -> None:
    answer = behind("POST", "/argus/v1/jobs", json={"prompts": ["a", "b"]})
    job = answer.get_json()
    assert answer.headers["Location"] == job["links"]["self"]
    for address in (*job["links"].values(), job["requests"][0]["link"]):
        assert behind("GET", address).status_code == 200
    assert behind("GET", f"{job['links']['self']}?per_page=1").get_json()["links"]["next"].startswith("/argus/v1/jobs/")
    assert behind("GET", "/argus/openapi.json").get_json()["servers"] == [{"url": "/argus"}]


def test_events_have_links_below_it_too(behind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "POLL_S", 0.02)
    job = behind("POST", "/argus/v1/jobs", json={"prompt": "a fox"}).get_json()
    behind("DELETE", job["links"]["self"])
    assert f'"link": "/argus/v1/requests/{job["requests"][0]["id"]}"' in behind("GET", job["links"]["events"]).text


def test_the_form_comes_back_below_it(behind: Any) -> None:
    page = behind("GET", "/argus/")
    token = re.search(r'name="argus_token" value="([^"]+)"', page.text)
    assert token is not None
    assert "Path=/argus" in page.headers["Set-Cookie"]
    form = {"argus_token": token[1], "prompts": "a fox", "size": "64x64"}
    cookie = page.headers["Set-Cookie"].partition(";")[0]
    sent = {"Origin": "https://img.example.org", "Sec-Fetch-Site": "same-origin", "Cookie": cookie}
    answer = behind("POST", "/argus/", data=form, headers=sent)
    assert answer.status_code == 303
    assert behind("GET", answer.headers["Location"].partition("?")[0]).status_code == 200


def test_links_of_other_apis_have_the_public_name(behind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "POLL_S", 0.02)
    with worker():
        wanted = {"prompt": "a fox", "response_format": "url"}
        url = behind("POST", f"/argus{OPENAI}", json=wanted).get_json()["data"][0]["url"]
    assert url.startswith(
        "https://img.example.org/argus/v1/images/" if _https(url) else "http://img.example.org/argus/"
    )
    assert behind("GET", url.partition("img.example.org")[2]).status_code == 200


def _https(url: str) -> bool:
    return url.startswith("https://")


def test_nobody_else_says_below_which_path(client: FlaskClient) -> None:
    job = client.post("/v1/jobs", json={"prompt": "a fox"}, headers={"X-Forwarded-Prefix": "/evil"}).get_json()
    assert job["links"]["self"].startswith("/v1/")


@pytest.mark.parametrize("prefix", ["//evil.example", "/a b", "javascript:x", "/a/../b", "/" + "x" * 300, '/"x'])
def test_a_path_that_is_none_is_not_believed(database: Services, family: Any, prefix: str) -> None:
    with configured(ARGUS_TRUSTED_PROXIES="127.0.0.1"):
        page = create_app().test_client().get("/", headers={"X-Forwarded-Prefix": prefix}).text
    assert 'data-root=""' in page


def test_the_public_name_is_known_and_its_pages_are_ours(database: Services, family: Any) -> None:
    with configured(ARGUS_PUBLIC_URL="https://img.example.org/argus"):
        client = create_app().test_client()
        assert client.get("/v1/levels", headers={"Host": "img.example.org"}).status_code == 200
        assert client.get("/v1/levels", headers={"Host": "evil.example"}).status_code == 403
        ours = {"Origin": "https://img.example.org", "Sec-Fetch-Site": "same-origin"}  # the proxy calls by another name
        assert client.post("/v1/jobs", json={"prompt": "a fox"}, headers=ours).status_code == 202


@pytest.mark.parametrize(
    "value", ["img.example.org", "ftp://a.b", "https://a.b/?x", "https://a b", "https://a.b/c/../d//"]
)
def test_a_public_address_that_is_none_stops_the_start(value: str) -> None:
    with pytest.raises(BadSettings, match="ARGUS_PUBLIC_URL"):
        load_settings({"ARGUS_PUBLIC_URL": value})
