"""Every check of a submission, through HTTP: refused with code and field, and nothing stored."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.app.conftest import code_and_field, configured, rows

WRONG: list[tuple[dict[str, Any], int, str, str | None]] = [
    ({"prompt": ""}, 422, "bad_prompt", "prompt"),
    ({"prompt": " \n\t "}, 422, "bad_prompt", "prompt"),
    ({"prompt": "x" * 101}, 422, "bad_prompt", "prompt"),
    ({"prompt": "a\x00b"}, 422, "bad_prompt", "prompt"),
    ({"prompt": "a\x1bb"}, 422, "bad_prompt", "prompt"),
    ({"prompt": "a\x85b"}, 422, "bad_prompt", "prompt"),
    ({"prompt": "a\ufffdb"}, 422, "bad_prompt", "prompt"),
    ({"prompt": "a\ud800b"}, 422, "bad_prompt", "prompt"),
    ({"prompts": ["fine", "also\ud800"]}, 422, "bad_prompt", "prompts.1.prompt"),
    ({"prompts": ["fine", ""]}, 422, "bad_prompt", "prompts.1.prompt"),
    (
        {"prompts": ["fine", {"prompt": "x", "negative_prompt": "a\x07"}]},
        422,
        "bad_prompt",
        "prompts.1.negative_prompt",
    ),
    ({"prompt": "a", "negative_prompt": "y" * 101}, 422, "bad_prompt", "negative_prompt"),
    ({"prompt": "a", "title": "bell\x07"}, 422, "bad_prompt", "title"),
    ({"prompt": "a", "width": 65}, 422, "out_of_range", "width"),
    ({"prompt": "a", "width": 128, "height": 128}, 422, "out_of_range", "height"),
    ({"prompt": "a", "height": 10**30}, 422, "out_of_range", "height"),
    ({"prompt": "a", "steps": 0}, 422, "out_of_range", "steps"),
    ({"prompt": "a", "steps": 51}, 422, "out_of_range", "steps"),
    ({"prompts": ["a", {"prompt": "b", "steps": 99}]}, 422, "out_of_range", "prompts.1.steps"),
    ({"prompt": "a", "guidance": 12.5}, 422, "out_of_range", "guidance"),
    ({"prompt": "a", "guidance": -1}, 422, "out_of_range", "guidance"),
    ({"prompt": "a", "guidance": float("nan")}, 422, "out_of_range", "guidance"),
    ({"prompt": "a", "seed": -2}, 422, "out_of_range", "seed"),
    ({"prompt": "a", "seed": 2**63}, 422, "out_of_range", "seed"),
    ({"prompt": "a", "seed": 2**63 - 1, "n": 2}, 422, "out_of_range", "seed"),
    ({"prompt": "a", "seeds": [1, -2]}, 422, "out_of_range", "seeds.1"),
    ({"prompt": "a", "min_quality": 1.5}, 422, "out_of_range", "min_quality"),
    ({"prompt": "a", "deadline_s": 0}, 422, "out_of_range", "deadline_s"),
    ({"prompt": "a", "n": 0}, 422, "out_of_range", "n"),
    ({"prompt": "a", "level": "sm-none"}, 422, "unknown_level", "level"),
    ({"prompts": ["a", {"prompt": "b", "level": ""}]}, 422, "unknown_level", "prompts.1.level"),
    ({"prompt": "a", "steps": "many"}, 400, "bad_input", "steps"),
    ({"prompt": "a", "steps": 1.5}, 400, "bad_input", "steps"),
    ({"prompt": "a", "seed": True}, 400, "bad_input", "seed"),
    ({"prompt": "a", "sede": 3}, 400, "bad_input", "sede"),
    ({"prompts": [{"prompt": "a", "stesp": 3}]}, 400, "bad_input", "prompts.0.stesp"),
    ({"prompts": [{"seed": 3}]}, 400, "bad_input", "prompts.0.prompt"),
    ({"prompts": [7]}, 400, "bad_input", "prompts.0"),
    ({"prompts": "a"}, 400, "bad_input", "prompts"),
    ({"prompts": []}, 400, "bad_input", "prompts"),
    ({"prompts": None}, 400, "bad_input", "prompts"),
    ({"prompt": "a", "prompts": ["b"]}, 400, "bad_input", "prompts"),
    ({"prompt": "a", "seeds": [1], "n": 2}, 400, "bad_input", "seeds"),
    ({"prompt": "a", "service_class": "gold"}, 400, "bad_input", "service_class"),
    ({"prompt": "a", "parallel": "warp"}, 400, "bad_input", "parallel"),
    ({"prompt": "a", "parallel": "pipefusion"}, 400, "bad_input", "parallel"),
    ({"prompts": ["a", {"prompt": "b", "parallel": "ulysses"}]}, 400, "bad_input", "prompts.1.parallel"),
    ({}, 400, "bad_input", "prompts"),
    ({"prompts": ["a"] * 31, "n": 1000}, 413, "too_large", "prompts"),
]


@pytest.mark.parametrize(("body", "status", "code", "field"), WRONG, ids=[str(w[0])[:60] for w in WRONG])
def test_what_is_wrong_is_refused_by_code_and_field_and_nothing_is_stored(
    client: FlaskClient, body: dict[str, Any], status: int, code: str, field: str | None
) -> None:
    answer = client.post("/v1/jobs", data=json.dumps(body), content_type="application/json")
    assert code_and_field(answer) == (status, code, field)
    assert rows() == (0, 0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"prompt": "caf\xe9"}',
        b"[" * 100_000,
        b'{"seed": ' + b"9" * 5000 + b"}",
        b'"a red apple"',
        b"[]",
        b"null",
    ],
    ids=["empty", "broken", "latin-1", "deep", "long number", "text", "list", "null"],
)
def test_a_body_that_is_no_json_object_is_refused(client: FlaskClient, body: bytes) -> None:
    answer = client.post("/v1/jobs", data=body, content_type="application/json")
    assert code_and_field(answer)[:2] == (400, "bad_input")
    assert rows() == (0, 0)


def test_json_sent_as_something_else_is_refused(client: FlaskClient) -> None:
    answer = client.post("/v1/jobs", data='{"prompt": "a"}', content_type="text/plain")
    assert code_and_field(answer)[:2] == (415, "wrong_media_type")


def test_more_prompts_than_the_setting_allows_are_too_large(client: FlaskClient) -> None:
    with configured(ARGUS_MAX_PROMPTS="3"):
        answer = client.post("/v1/jobs", json={"prompts": ["a"] * 4})
        assert code_and_field(answer) == (413, "too_large", "prompts")
        assert rows() == (0, 0)
        assert client.post("/v1/jobs", json={"prompts": ["a"] * 3}).status_code == 202


def test_a_body_over_the_size_limit_is_refused_unread(database: Any, family: Any) -> None:
    from app import create_app

    with configured(ARGUS_MAX_UPLOAD_MB="1"):
        answer = create_app().test_client().post("/v1/jobs", json={"prompts": ["x" * 100] * 11_000})
    assert code_and_field(answer)[:2] == (413, "too_large")


def test_a_parallel_mode_is_kept_to_the_record_and_where_none_is_named_it_is_auto(client: FlaskClient) -> None:
    prompts = ["one", {"prompt": "two", "parallel": "off"}]
    for given, kept in ((None, ["auto", "off"]), ("parataa", ["parataa", "off"]), ("asyncdiff", ["asyncdiff", "off"])):
        body = {"prompts": prompts, **({"parallel": given} if given else {})}
        job = client.post("/v1/jobs", json=body).get_json()
        assert [client.get(one["link"]).get_json()["parallel"] for one in job["requests"]] == kept


def test_a_column_of_a_file_names_a_mode(client: FlaskClient) -> None:
    table = io.BytesIO(b"prompt,parallel\na fox,parataa\nan owl,\n")
    job = client.post("/v1/jobs/csv", data={"file": (table, "modes.csv")}).get_json()
    found = [client.get(one["link"]).get_json()["parallel"] for one in job["requests"]]
    assert found == ["parataa", "auto"]


def test_line_breaks_in_a_prompt_become_spaces(client: FlaskClient) -> None:
    job = client.post("/v1/jobs", json={"prompt": "  a red\r\n apple\tpie "}).get_json()
    assert client.get(job["requests"][0]["link"]).get_json()["prompt"] == "a red apple pie"


def test_prompts_in_any_script_are_taken(client: FlaskClient) -> None:
    prompts = ["一个红苹果", "तीन बिल्लियाँ", "👩🏽‍🚀 in space", "ثلاث قطط"]
    job = client.post("/v1/jobs", json={"prompts": prompts}).get_json()
    assert [client.get(r["link"]).get_json()["prompt"] for r in job["requests"]] == prompts


def lines_of(count: int) -> io.BytesIO:
    return io.BytesIO(b"".join(b'{"prompt": "fox %d", "seed": %d}\n' % (n, n) for n in range(count)))


def test_a_file_may_have_more_prompts_than_a_body_and_the_answer_lists_the_first(client: FlaskClient) -> None:
    with configured(ARGUS_MAX_PROMPTS="3"):
        answer = client.post("/v1/jobs/csv", data={"file": (lines_of(11_000), "many.jsonl")})
        assert answer.status_code == 202, answer.text
    job = answer.get_json()
    assert (job["size"], len(job["requests"]), rows()) == (11_000, 10_000, (1, 11_000))
    last = client.get(f"{job['links']['self']}?per_page=1000&page=11").get_json()["requests"][-1]
    assert (last["prompt"], last["seed"], last["position"]) == ("fox 10999", 10_999, 10_999)


def test_a_file_with_a_fault_in_its_last_line_stores_nothing_and_names_it(client: FlaskClient) -> None:
    lines = lines_of(2_000).read() + b'{"prompt": "fox", "steps": 999}\n'
    answer = client.post("/v1/jobs/csv", data={"file": (io.BytesIO(lines), "many.jsonl")})
    assert code_and_field(answer)[1:] == ("out_of_range", "steps")
    assert "Line 2001" in answer.get_json()["error"]["message"]
    assert rows() == (0, 0)
