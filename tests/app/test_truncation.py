"""A prompt longer than the encoder's window says so: in the answer, the request, its page, other clients' answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import listening
from tests.app.conftest import configured
from tests.app.test_compat import A1111, OPENAI, worker

LONG = "a " + "ab " * 30 + "c"  # 100 characters at most here


def test_the_answer_to_a_submission_says_how_many_tokens_are_not_read(submit: Callable[..., dict[str, Any]]) -> None:
    job = submit(prompts=[LONG, {"prompt": "a red apple", "negative_prompt": LONG}])
    told = [(row["truncated_tokens"], row["negative_truncated_tokens"]) for row in job["requests"]]
    assert told[1][0] == told[0][1] == 0
    assert told[0][0] == told[1][1] > 0


def test_request_list_and_page_say_it_too(client: FlaskClient, submit: Callable[..., dict[str, Any]]) -> None:
    job = submit(prompt=LONG)
    (row,) = job["requests"]
    count = row["truncated_tokens"]
    assert client.get(row["link"]).get_json()["truncated_tokens"] == count
    assert client.get(job["links"]["self"]).get_json()["requests"][0]["truncated_tokens"] == count
    assert f"The last {count} tokens of the prompt are not read" in client.get(f"/requests/{row['id']}").text
    assert "are longer than the text encoder" in client.get(f"/jobs/{job['id']}").text


def test_what_fits_is_not_remarked(client: FlaskClient, submit: Callable[..., dict[str, Any]]) -> None:
    job = submit(prompt="a red apple")
    assert "not read" not in client.get(f"/requests/{job['requests'][0]['id']}").text
    assert "not read" not in client.get(f"/jobs/{job['id']}").text


@pytest.mark.parametrize("address", [OPENAI, A1111])
def test_clients_of_other_apis_are_told(client: FlaskClient, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(listening, "POLL_S", 0.02)
    with worker():
        answer = client.post(address, json={"prompt": LONG}).get_json()
    origin = answer["data"][0]["argus"] if address == OPENAI else json.loads(answer["info"])["argus"][0]
    assert origin["truncated_tokens"] > 0
    assert origin["negative_truncated_tokens"] == 0


def test_a_count_that_is_not_known_yet_is_none(client: FlaskClient, tmp_path: Any) -> None:
    from tests.app.conftest import FAMILY

    (tmp_path / "far.toml").write_text(FAMILY.replace("embedded-unet", "stable-diffusion"))
    with configured(ARGUS_FAMILY=str(tmp_path / "far.toml")):
        (row,) = client.post("/v1/jobs", json={"prompt": LONG}).get_json()["requests"]
    assert row["truncated_tokens"] is None


def test_own_ids_are_kept_to_the_results(client: FlaskClient, submit: Callable[..., dict[str, Any]]) -> None:
    job = submit(prompts=[{"prompt": "a", "custom_id": "sku-1"}, {"prompt": "b", "id": 17}, "c"], n=2)
    kept = ["sku-1", "sku-1", "17", "17", None, None]
    assert [row["custom_id"] for row in job["requests"]] == kept
    assert [row["custom_id"] for row in client.get(job["links"]["self"]).get_json()["requests"]] == kept
    request = client.get(job["requests"][0]["link"]).get_json()
    assert request["custom_id"] == "sku-1"
    assert "sku-1" in client.get(request["links"]["page"]).text


def test_an_only_prompt_has_its_own_id_beside_it(client: FlaskClient, submit: Callable[..., dict[str, Any]]) -> None:
    (request,) = submit(prompt="a", custom_id="sku-9")["requests"]
    assert request["custom_id"] == "sku-9"
    answer = client.post("/v1/jobs", json={"prompts": ["a", "b"], "custom_id": "sku-9"})
    assert (answer.status_code, answer.get_json()["error"]["field"]) == (400, "custom_id")


@pytest.mark.parametrize("wrong", ["x" * 256, "a\0b", True, 1.5, ["a"]])
def test_an_id_that_cannot_be_kept_is_refused(client: FlaskClient, wrong: Any) -> None:
    answer = client.post("/v1/jobs", json={"prompts": [{"prompt": "a", "custom_id": wrong}]})
    assert answer.status_code == 400
    assert answer.get_json()["error"]["field"] == "prompts.0.custom_id"
