"""Who may call, from where, and with what: names, other sites, bodies that cost more than they are."""

from __future__ import annotations

import io
import json
import re
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import create_app
from app.access import needed
from app.plain_json import MOST_VALUES
from core.errors import BadSettings
from core.keys import Scope
from core.settings import load_settings, settings
from tests.app.conftest import configured, rows

NUL, HUGE = "a\0b", "9" * 400
QUERIES = ("level", "before", "page", "per_page", "minutes", "purge")


@pytest.mark.parametrize("name", ["localhost:8080", "127.0.0.1", "LOCALHOST", "[::1]:8080"])
def test_names_of_this_machine_are_known(client: FlaskClient, name: str) -> None:
    assert client.get("/v1/levels", headers={"Host": name}).status_code == 200


@pytest.mark.parametrize("name", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io:8080", "10.0.0.7"])
def test_a_name_that_another_site_had_resolve_here_is_refused(client: FlaskClient, name: str) -> None:
    own = {"Host": name, "Origin": f"http://{name}", "Sec-Fetch-Site": "same-origin"}
    answer = client.post("/v1/jobs", json={"prompt": "a fox"}, headers=own)
    assert (answer.status_code, answer.get_json()["error"]["field"]) == (403, "Host")
    assert "ARGUS_HOSTS" in answer.get_json()["error"]["message"]
    assert client.get("/", headers={"Host": name}).status_code == 403
    assert rows() == (0, 0)


def test_probes_are_answered_by_any_name(client: FlaskClient) -> None:
    assert client.get("/healthz", headers={"Host": "10.0.0.7:8080"}).status_code == 200


def test_names_are_added_by_setting_one_by_one_by_domain_or_all(client: FlaskClient) -> None:
    for known, called in (("argus.lan", "argus.lan"), (".lan", "argus.lan"), (".lan", "lan"), ("*", "any.where")):
        with configured(ARGUS_HOSTS=known):
            assert client.get("/v1/levels", headers={"Host": called}).status_code == 200
            assert client.get("/v1/levels", headers={"Host": "evil"}).status_code == (200 if known == "*" else 403)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.7", "argus.lan"])
def test_an_address_that_others_reach_needs_consent(host: str) -> None:
    with pytest.raises(BadSettings, match="ARGUS_OPEN=yes") as refused:
        load_settings({"ARGUS_HOST": host})
    assert refused.value.field == "ARGUS_HOST"
    assert load_settings({"ARGUS_HOST": host, "ARGUS_OPEN": "yes"}).host == host


def test_the_passwords_of_the_example_are_not_taken() -> None:
    with pytest.raises(BadSettings, match="still has the password of the example") as refused:
        load_settings({"ARGUS_BROKER_URL": "redis://:change-me@broker:6379/0"})
    assert refused.value.field == "ARGUS_BROKER_URL"


# --- bodies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ('{"prompts":[' + "[]," * 400_000 + "[]]}", 413, "body"),
        ('{"prompts":[' + '"a",' * 10_000 + '"a"]}', 413, "prompts"),
        ('{"prompt":"a","seeds":[' + "1," * 10_000 + "1]}", 413, "seeds"),
        ('{"prompts":[' + "{}," * 9_000 + "{}]}", 400, "prompts.0.prompt"),
        ("[" * 100_000, 400, "body"),
        ('{"prompt":"a","prompt":"b"}', 400, "body"),
        ('{"prompt":"a","steps":' + HUGE + "}", 422, "steps"),
        ('{"prompt":"a","guidance":1' + HUGE + ".0}", 422, "guidance"),
        ('{"prompt":"a","width":-' + HUGE + "}", 422, "width"),
        ('{"prompt":"a","seed":' + "9" * 5000 + "}", 400, "body"),
    ],
    ids=["empty lists", "prompts", "seeds", "wrong entries", "nested", "twice", "steps", "guidance", "width", "digits"],
)
def test_a_body_that_is_more_than_a_submission_is_refused_at_once(
    client: FlaskClient, body: str, status: int, field: str
) -> None:
    answer = client.post("/v1/jobs", data=body, content_type="application/json")
    assert (answer.status_code, answer.get_json()["error"]["field"]) == (status, field)
    assert rows() == (0, 0)


def test_a_body_of_many_values_takes_no_memory_beside_itself(client: FlaskClient) -> None:
    body = b'{"prompts":[' + b"[]," * 1_000_000 + b"[]]}"
    tracemalloc.start()
    client.post("/v1/jobs", data=body, content_type="application/json")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 3 * len(body)


def test_a_whole_submission_fits_into_the_bound_of_values(client: FlaskClient) -> None:
    options = {"seed": 1, "width": 64, "height": 64, "steps": 9, "guidance": 2.0, "level": "exact", "min_quality": 0.5}
    body = json.dumps({"prompts": [{"prompt": "a, b, c", "negative_prompt": "d, e", **options}] * 500})
    with configured(ARGUS_MAX_PROMPTS="500"):
        assert client.post("/v1/jobs", data=body, content_type="application/json").status_code == 202
    assert sum(body.count(mark) for mark in ",[{") < MOST_VALUES * 500


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["prompt," * 10_000, ",".join(f"c{n}" for n in range(200)) + ",prompt"])
def test_a_header_of_very_many_columns_is_refused(client: FlaskClient, header: str) -> None:
    data: dict[str, Any] = {"file": (io.BytesIO(f"{header}\na\n".encode()), "many.csv")}
    answer = client.post("/v1/jobs/csv", data=data)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (422, "bad_csv")
    assert "at most 100" in answer.get_json()["error"]["message"]


# --- every address ---------------------------------------------------------------------------------------------------


def addresses() -> list[str]:
    """Every address that is read, its variables filled in."""
    with configured():
        rules = list(create_app().url_map.iter_rules())
    zero = "00000000-0000-0000-0000-000000000000"
    known = {"format": "png"}
    read = [rule for rule in rules if "GET" in (rule.methods or ())]
    filled = ((rule, {name: known.get(name, zero) for name in rule.arguments}) for rule in read)
    return sorted({rule.build(values)[1] for rule, values in filled if (rule.endpoint != "static")})  # type: ignore[index]


@pytest.mark.parametrize(
    "value", [NUL, HUGE, f"-{HUGE}", "1e400", "\ud800", "9999-12-31T23:59:59", "0001-01-01", "'", ""]
)
def test_no_value_of_a_query_breaks_an_address(client: FlaskClient, value: str) -> None:
    settings()
    for address in addresses():
        for name in QUERIES:
            answer = client.get(address, query_string={name: value.encode("utf-8", "surrogatepass")})
            assert answer.status_code < 500 or address == "/readyz", (address, name, value)


def built(client: FlaskClient, method: str, value: str) -> Iterator[tuple[Any, str]]:
    """Every rule that takes this method, and its address with this in each place."""
    for rule in client.application.url_map.iter_rules():
        if method in (rule.methods or ()):
            yield rule, re.sub(r"<(?:\w+(?:\([^)]*\))?:)?\w+>", value, rule.rule)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_no_nul_in_an_address_breaks_it(client: FlaskClient, method: str) -> None:
    client.set_cookie("argus_token", "t")
    form = {"argus_token": "t"}
    with configured(ARGUS_COMPAT_WAIT_S="0.01"):
        for rule, address in built(client, method, "a%00b"):
            if rule.arguments:
                answer = client.open(address, method=method, data=form if rule.endpoint.startswith("web.") else None)
                assert 400 <= answer.status_code < 500, (address, answer.text)


def test_no_nul_in_a_field_breaks_a_form(client: FlaskClient) -> None:
    client.set_cookie("argus_token", "t")
    fields = ("prompts", "prompt", "tenant", "name", "key", "policy", "title", "idempotency_key")
    for rule, address in built(client, "POST", "00000000-0000-0000-0000-000000000000"):
        if rule.endpoint.startswith("web."):
            for data in ({"argus_token": "t", "scopes": "read", name: NUL} for name in fields):
                answer = client.post(address, data=data)
                assert answer.status_code < 500, (address, data, answer.text)
    refused = client.post("/keys", data={"argus_token": "t", "scopes": "read", "tenant": NUL})
    assert (refused.status_code, refused.get_json()["field"]) == (400, "tenant")


# --- the rate of submissions -----------------------------------------------------------------------------------------

HANDS_IN = {
    *("jobs.submit_job", "jobs.upload_job", "compare.submit_comparison", "web.submit", "web.submit_comparison"),
    *("openai.generate", "openai_forms.edit", "openai.create_batch", "a1111.txt2img", "a1111.img2img"),
}
HANDS_NOTHING_IN = (
    *("moves.", "webhooks.", "inputs.", "web.preview", "web.move_requests", "web.possible_moves", "a1111."),
    *("openai_forms.upload_file", "openai_forms.vary", "openai_forms.cancel_batch"),
)


def test_every_address_that_hands_in_work_is_refused_over_the_rate(client: FlaskClient) -> None:
    """All others are listed too: what is new has to be sorted."""
    app = client.application
    with configured(ARGUS_RATE_LIMIT="1/hour"):
        assert client.post("/v1/jobs", json={"prompt": "a fox"}).status_code == 202
        answers = {
            rule.endpoint: client.post(address, json={})
            for rule, address in built(client, "POST", "00000000-0000-0000-0000-000000000000")
            if needed(app, rule.endpoint) == (Scope.SUBMIT,)
        }
    counted = {endpoint for endpoint, answer in answers.items() if answer.status_code == 429}
    assert counted == HANDS_IN
    assert all(int(answers[endpoint].headers["Retry-After"]) > 0 for endpoint in counted)
    assert [endpoint for endpoint in set(answers) - counted if not endpoint.startswith(HANDS_NOTHING_IN)] == []
    assert rows() == (1, 1)
