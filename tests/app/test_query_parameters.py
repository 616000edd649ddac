"""Whatever a query parameter of any GET route holds, the answer is quick and never a fault: a list by route.

Routes are the application's own, and every parameter that any of them reads is tried on each: one that is added is
tried too.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from app import create_app, listening, searching
from app.api import events
from core.settings import ROOT
from tests.app.conftest import configured
from tests.app.test_fuzz import Api

HUGE = ("1000000000", "9223372036854775808", "1" + "0" * 300, "-1000000000", "1e9")
NUL = ("%00", "a%00b", "1%00")
CURSORS = tuple(
    quote(word)
    for word in (
        "cursor",
        "====",
        base64.b64encode(b"\0" * 40).decode(),
        base64.urlsafe_b64encode(b'{"at": "9999-99-99", "id": null}').decode(),
        "2026-11-27T25:61:00",
        "00000000-0000-0000-0000-00000000000g",
        "file-" + "f" * 500,
    )
)
BROKEN = ("%ff%fe", "%", "%F0%9F", "%ed%a0%80", "[]", "{}", "' OR 1=1 --")
TIMES = tuple(
    quote(word)
    for word in (
        "2000-01-01T00:00:00+16:00",
        "2000-01-01T00:00:00-23:59",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "0001-01-01T00:00:00Z",
        "2000-01-01T00:00:00+16:00~00000000-0000-0000-0000-000000000000",
    )
)
VALUES = (*NUL, *HUGE, *CURSORS, *BROKEN, *TIMES)
PAGES = (  # read their parameters themselves
    *("/gallery", "/dashboard/figures", "/jobs/<uuid:job_id>"),
    *("/reports", "/reports/<by>.csv"),
)
FORM = (
    "prompts",
    "image",
    "mask",
    "strength",
    "becomes",
    "second_image",
    "size",
    "n",
    "seed",
    "min_quality",
    "parallel",
)  # `/` is filled in as it says
NOBODY_THERE = (("/readyz", 503), ("/v1/requests", 503))  # no scheduler ticks, no router reads what is looked for
LONGEST_ANSWER = 2 * 1024 * 1024  # a page asked for a thousand million lines has none of them


@lru_cache
def rules() -> list[str]:
    """Every GET route of the application but its files."""
    with configured():
        found = create_app().url_map.iter_rules()
    return sorted({rule.rule for rule in found if "GET" in (rule.methods or ()) and "filename" not in rule.rule})


@lru_cache
def documented() -> dict[str, set[str]]:
    """The query parameters of each path, as the document of the API tells them."""
    with configured():
        paths = create_app().test_client().get("/openapi.json").get_json()["paths"]
    return {
        path: {each["name"] for each in methods.get("get", {}).get("parameters", ()) if each.get("in") == "query"}
        for path, methods in paths.items()
    }


@lru_cache
def names() -> list[str]:
    """Every query parameter that is documented, or that some line of the application reads."""
    found = set(FORM).union(*documented().values())
    for path in (ROOT / "app").rglob("*.py"):
        found |= set(re.findall(r"\bargs(?:\.get(?:list)?\(|\[)\"(\w+)\"", path.read_text()))
    return sorted(found)


def queries(rule: str) -> Iterator[str]:
    """Each value in every parameter at once, and in each that the route documents, alone."""
    own = documented().get(re.sub(r"<(?:\w+(?:\([^)]*\))?:)?(\w+)>", r"{\1}", rule), set())
    for value in VALUES:
        yield "&".join(f"{name}={value}" for name in names())
        yield from (f"{name}={value}" for name in (names() if rule in PAGES else FORM if rule == "/" else own))


@pytest.fixture
def api(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setattr(listening, "POLL_S", 0.005)
    monkeypatch.setattr(events, "LONGEST_S", 0.01)
    monkeypatch.setattr(searching, "LIMIT_S", 0.01)
    monkeypatch.setattr(events, "SCORES_S", 0.0)
    return Api(client)


def test_the_list_has_pages_listings_and_what_narrows_them() -> None:
    assert {"/", "/gallery", "/dashboard", "/v1/jobs", "/v1/report", "/metrics", "/v1/files"} <= set(rules())
    assert {"page", "per_page", "minutes", "level", "before", "after", "limit"} <= set(names())


@pytest.mark.parametrize("rule", rules())
def test_no_value_of_any_parameter_is_a_fault(api: Api, rule: str) -> None:
    address = re.sub(r"<(?:\w+(?:\([^)]*\))?:)?(\w+)>", lambda found: str(api.ids.get(found[1], "none")), rule)
    for query in queries(rule):
        answer = api.client.get(f"{address}?{query}", headers={"Accept": "text/html, application/json"})
        told = (rule, query, answer.status_code, answer.data[:300])
        assert answer.status_code < 500 or (rule, answer.status_code) in NOBODY_THERE, told
        assert len(answer.data) < LONGEST_ANSWER, told


@pytest.mark.parametrize("rule", ["/v1/jobs", "/v1/report", "/v1/files", "/gallery", "/dashboard"])
def test_a_nul_is_told_as_what_it_is(api: Api, rule: str) -> None:
    answer: Any = api.client.get(f"{rule}?{names()[0]}=a%00b", headers={"Accept": "application/json"})
    assert 400 <= answer.status_code < 500
    assert "NUL" in answer.text or "U+0000" in answer.text, answer.text[:500]
