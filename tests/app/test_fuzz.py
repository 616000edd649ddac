"""Whatever is sent, the answer is one that the documentation names, and never 5xx: a fuzz over every route.

Hundreds of cases here, always the same ones; `make fuzz` sends ten thousand new ones (`FUZZ_CASES`).
"""

from __future__ import annotations

import io
import json
import os
from base64 import b64encode
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import pytest
import schemathesis
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app import create_app, listening, searching
from app.api import events
from app.schemas.submission import JobOptions
from tests.app.conftest import configured, draw
from tests.core.test_pictures import halves, saved

CASES = int(os.environ.get("FUZZ_CASES", "800"))
NEW = "FUZZ_CASES" in os.environ
CHECKS = (status_code_conformance, content_type_conformance, response_schema_conformance)


def cases(share: float) -> Any:
    """Hypothesis' settings for a share of the cases."""
    return settings(
        max_examples=max(5, round(CASES * share)),
        derandomize=not NEW,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


class Api:
    """The app, with ids of things that are there."""

    def __init__(self, client: FlaskClient) -> None:
        job = client.post("/v1/jobs", json={"prompt": "a fox", "n": 2}).get_json()
        request = job["requests"][0]["id"]
        self.client, self.ids = client, {"job_id": job["id"], "request_id": request, "image_id": draw(request)}
        self.ids |= {"model_id": "exact", "format": "webp", "move": "pause"}
        data = {"purpose": "batch", "file": (io.BytesIO(b"{}"), "calls.jsonl")}
        self.ids["file_id"] = file = client.post("/v1/files", data=data).get_json()["id"]
        wanted = {"input_file_id": file, "endpoint": "/v1/images/generations", "completion_window": "24h"}
        self.ids["batch_id"] = client.post("/v1/batches", json=wanted).get_json()["id"]
        picture = {"file": (io.BytesIO(saved(halves("RGB", "red", "blue"))), "picture.png")}
        self.ids["input_id"] = client.post("/v1/inputs", data=picture).get_json()["id"]
        client.post("/v1/webhooks/secret")
        event = client.post("/v1/webhooks/test", json={"url": "https://93.184.215.14/hook"})
        self.ids["event_id"] = event.get_json()["id"]


@pytest.fixture
def api(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    quick = {listening: {"POLL_S": 0.005}, events: {"LONGEST_S": 0.01, "SCORES_S": 0.0, "GAP_S": 0.0}}
    quick[searching] = {"LIMIT_S": 0.05}
    for module, name, value in ((module, *each) for module, values in quick.items() for each in values.items()):
        monkeypatch.setattr(module, name, value)
    with configured(ARGUS_COMPAT_WAIT_S="0.01"):
        yield Api(client)


@lru_cache
def operations() -> list[tuple[str, str, GenerationMode]]:
    """Every operation, with what it takes; and where it takes anything, with what it does not."""
    with configured():
        document = create_app().test_client().get("/openapi.json").get_json()
    found = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method != "parameters":
                found.append((method, path, GenerationMode.POSITIVE))
                if "requestBody" in operation or any(each["in"] == "query" for each in operation.get("parameters", ())):
                    found.append((method, path, GenerationMode.NEGATIVE))
    return found


@pytest.mark.parametrize(("method", "path", "mode"), operations())
def test_an_operation_answers_as_it_is_documented(api: Api, method: str, path: str, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_wsgi("/openapi.json", api.client.application)
    operation = schema[path][method.upper()]
    checks = [check for check in CHECKS if not (path.endswith("/events") and check is response_schema_conformance)]

    @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
    @cases(0.4 / len(operations()))
    def answers(case: Any, known: bool) -> None:
        if known and case.path_parameters:
            case.path_parameters = {name: api.ids[name] for name in case.path_parameters}
        response = case.call()
        # No worker draws here, and no router reads what is looked for: both are said as documented.
        nobody = 504 if method == "post" else 503 if "like" in (case.query or {}) else None
        assert response.status_code < 500 or response.status_code == nobody, response.text
        case.validate_response(response, checks=checks)

    answers()


# --- what no document describes: pages, forms, headers, bodies that are none -----------------------------------------

NUMBERS = ["", "0", "-1", "1", "1.5", "1e400", "9" * 400, "NaN", "\u0663", "0x10", "true", " 7 "]
HOSTILE = ["\0", "a\0b", "\ud800", "'", "<b>", "%00", "../..", "🦊" * 300, "9999-12-31T23:59:59", "0001-01-01"]
TEXTS = st.one_of(st.sampled_from([*NUMBERS, *HOSTILE, "a fox", "exact"]), st.text(max_size=30))
FIELDS = [*JobOptions.model_fields, "prompts", "size", "file", "x"]
OF_PAGES = ["prompt", "seeds", "levels", "key", "next", "policy", "idempotency_key"]
QUERY = ["level", "before", "page", "per_page", "minutes", "purge"]
FORMS = st.dictionaries(st.one_of(st.sampled_from(FIELDS + OF_PAGES), st.text(max_size=8)), TEXTS, max_size=8)
NAMES = """Host Origin Sec-Fetch-Site Last-Event-ID If-None-Match If-Modified-Since Range Accept Content-Type
Content-Encoding Cookie Idempotency-Key X-Forwarded-For X-Forwarded-Host Accept-Encoding Accept-Language Authorization
X-HTTP-Method-Override Expect"""
LATIN = st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\r\n")
HEADERS = st.dictionaries(st.sampled_from(NAMES.split()), st.text(LATIN, max_size=40), max_size=4)
FILES = st.tuples(st.binary(max_size=300), st.sampled_from(["a.csv", "a.jsonl", "", "a", "\0.csv", "ä.JSONL"]))
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE")
KNOWN = {200, 202, 204, 206, 302, 303, 304, 308, 400, 403, 404, 405, 409, 413, 415, 416, 422, 429}


def paths(api: Api) -> list[str]:
    """Every address, with ids of things that are there; but readiness, which is 503 while nothing draws here."""
    rules = api.client.application.url_map.iter_rules()
    built = {rule.build(values_of(rule, api))[1] for rule in rules}  # type: ignore[index]
    return sorted(built - {"/readyz"})


def values_of(rule: Any, api: Api) -> dict[str, str]:
    return {name: api.ids.get(name, "argus.css") for name in rule.arguments}


def check(answer: Any, *more: int) -> None:
    assert answer.status_code in KNOWN or answer.status_code in more, (answer.status_code, answer.text)


def encoded(values: dict[str, str]) -> dict[str, bytes]:
    return {
        name.encode("utf-8", "replace").decode(): text.encode("utf-8", "surrogatepass") for name, text in values.items()
    }


def test_no_query_breaks_an_address(api: Api) -> None:
    read = [path for path in paths(api) if not path.startswith(("/static", "/openapi", "/docs"))]

    @given(query=st.fixed_dictionaries(dict.fromkeys(QUERY, st.none() | TEXTS)))
    @cases(0.06)
    def answers(query: dict[str, str | None]) -> None:
        for path in read:
            check(api.client.get(path, query_string=encoded({name: text for name, text in query.items() if text})))

    for text in (*NUMBERS, *HOSTILE):
        answers = example(query=dict.fromkeys(QUERY, text))(answers)
    answers()


def test_no_address_breaks_it_either(api: Api) -> None:
    @given(
        start=st.sampled_from(["/", "/v1/", "/v1/jobs/", "/sdapi/v1/", "/jobs/", "/static/", "/requests/"]), rest=TEXTS
    )
    @cases(0.05)
    def answers(start: str, rest: str) -> None:
        check(api.client.get(start + quote(rest.encode("utf-8", "surrogatepass"))))

    answers()


def test_no_headers_method_or_body_break_an_address(api: Api) -> None:
    @given(st.sampled_from(METHODS), st.sampled_from(paths(api)), HEADERS, st.binary(max_size=60))
    @cases(0.15)
    def answers(method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        answer = api.client.open(path, method=method, headers=headers, data=body)
        check(answer, *((504,) if path.startswith(("/sdapi/", "/v1/images/gen")) else ()))

    answers()


def test_no_form_breaks_the_page(api: Api) -> None:
    api.client.set_cookie("argus_token", "t")
    pages = ["/", f"/jobs/{api.ids['job_id']}/reorder", "/v1/jobs/csv", "/compare", "/sign-in", "/dashboard/what-if"]

    @given(st.sampled_from(pages), FORMS, st.none() | FILES)
    @cases(0.1)
    def answers(path: str, form: dict[str, str], file: tuple[bytes, str] | None) -> None:
        data: dict[str, Any] = {**encoded(form), "argus_token": "t"}
        if file:
            data["file"] = (io.BytesIO(file[0]), file[1])
        check(api.client.post(path, data=data, content_type="multipart/form-data" if file else None), 401)

    answers()


def test_no_key_breaks_an_address(api: Api) -> None:
    @given(TEXTS, st.sampled_from(["/v1/jobs", "/sdapi/v1/samplers", "/gallery"]))
    @cases(0.03)
    def answers(sent: str, path: str) -> None:
        key = f"argus_{sent}_{sent}".encode("utf-8", "surrogatepass")
        with configured(ARGUS_KEYS="yes"):
            for header in ("Bearer " + key.decode("latin-1"), "Basic " + b64encode(b":" + key).decode()):
                check(api.client.get(path, headers={"Authorization": header.replace("\n", "").replace("\r", "")}), 401)

    answers()


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_no_file_of_prompts_breaks_the_upload(api: Api, name: str) -> None:
    cell = st.one_of(TEXTS, st.sampled_from(['"', ",", "\n", '{"prompt":', "prompt", "[" * 2000, "exact"]))

    @given(
        st.sampled_from(["", "prompt\n", "prompt,seed,steps\n", '{"prompt":"a"}\n']),
        st.lists(cell, max_size=12),
        st.sampled_from(",;\t\n"),
    )
    @cases(0.03)
    def answers(head: str, cells: list[str], between: str) -> None:
        text = head + between.join(cells)
        data = {"file": (io.BytesIO(text.encode("utf-8", "surrogatepass")), name)}
        check(api.client.post("/v1/jobs/csv", data=data))

    answers()


NAMES_IN_JSON = [*FIELDS, "seeds", "prompt", "override_settings", "response_format", "model"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES_IN_JSON), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/images/generations", "/sdapi/v1/txt2img", "/sdapi/v1/options"])
def test_no_json_breaks_what_takes_json(api: Api, path: str) -> None:
    @given(JSON)
    @cases(0.035)
    def answers(body: Any) -> None:
        check(api.client.post(path, data=json.dumps(body), content_type="application/json"), 504)

    answers()
