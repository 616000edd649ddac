"""Numbers as other clients write them, at every address that takes one."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from core.numbers import MAX_SEED
from tests.app.conftest import code_and_field, rows
from tests.app.test_compat import _quick as _quick
from tests.app.test_compat import stored, worker

Send = Callable[[FlaskClient, Any], Any]


def _native(client: FlaskClient, seed: Any) -> Any:
    return client.post("/v1/jobs", json={"prompt": "a", "seed": seed})


def _own_option(client: FlaskClient, seed: Any) -> Any:
    return client.post("/v1/jobs", json={"prompts": [{"prompt": "a", "seed": seed}], "seed": 99})


def _list(client: FlaskClient, seed: Any) -> Any:
    return client.post("/v1/jobs", json={"prompt": "a", "seeds": [seed]})


def _openai(client: FlaskClient, seed: Any) -> Any:
    return client.post("/v1/images/generations", json={"prompt": "a", "seed": seed})


def _a1111(client: FlaskClient, seed: Any) -> Any:
    return client.post("/sdapi/v1/txt2img", json={"prompt": "a", "seed": seed})


def _csv(client: FlaskClient, seed: Any) -> Any:
    cell = seed if isinstance(seed, str) else json.dumps(seed)
    file = (io.BytesIO(f'prompt,seed\na,"{cell}"\n'.encode()), "prompts.csv")
    return client.post("/v1/jobs/csv", data={"file": file})


def _json_line(client: FlaskClient, seed: Any) -> Any:
    file = (io.BytesIO(json.dumps({"prompt": "a", "seed": seed}).encode()), "prompts.jsonl")
    return client.post("/v1/jobs/csv", data={"file": file})


def _form(client: FlaskClient, seed: Any) -> Any:
    page = client.get("/").text
    token = re.search(r'name="argus_token" value="([^"]+)"', page)
    assert token
    cell = seed if isinstance(seed, str) else json.dumps(seed)
    return client.post("/", data={"prompts": "a", "size": "64x64", "seed": cell, "argus_token": token[1]})


EVERYWHERE = pytest.mark.parametrize("send", [_native, _own_option, _list, _openai, _a1111, _csv, _json_line, _form])


@EVERYWHERE
@pytest.mark.parametrize("seed", [7, 7.0, "7", " 7 ", "7.0"])
def test_whole_floats_and_numeric_text_are_numbers(client: FlaskClient, send: Send, seed: Any) -> None:
    with worker():
        assert send(client, seed).status_code in (200, 202, 303)
    assert [row.seed for row in stored()] == [7]


@EVERYWHERE
@pytest.mark.parametrize("seed", [2**32, 2**53 + 1, MAX_SEED])
def test_seeds_of_63_bits_are_taken_and_kept(client: FlaskClient, send: Send, seed: int) -> None:
    with worker():
        assert send(client, seed).status_code in (200, 202, 303)
    assert [row.seed for row in stored()] == [seed]


@EVERYWHERE
@pytest.mark.parametrize("seed", [-1, -1.0, "-1"])
def test_minus_one_is_a_random_seed(client: FlaskClient, send: Send, seed: Any) -> None:
    with worker():
        assert send(client, seed).status_code in (200, 202, 303)
    (row,) = stored()
    assert 0 <= row.seed < 2**32
    assert row.seed != 99


@EVERYWHERE
@pytest.mark.parametrize(
    ("seed", "status"),
    [(True, 400), (False, 400), ("true", 400), (7.5, 400), ("seven", 400), ("1_000", 400), (-2, 422), (2**63, 422)],
)
def test_what_is_no_seed_is_refused_and_nothing_is_stored(
    client: FlaskClient, send: Send, seed: Any, status: int
) -> None:
    answer = send(client, seed)
    assert answer.status_code == (400 if send is _openai else status)  # to its clients all that is wrong is 400
    assert "seed" in answer.text
    assert "Input should" not in answer.text
    assert rows() == (0, 0)


@pytest.mark.parametrize("send", [_native, _own_option, _list, _openai, _a1111, _form])
def test_a_seed_that_is_not_finite_is_out_of_range(client: FlaskClient, send: Send) -> None:
    """But in files: there it is how pandas writes an empty cell."""
    assert send(client, float("nan")).status_code == (400 if send is _openai else 422)
    assert rows() == (0, 0)


def test_all_options_follow_the_rule(client: FlaskClient) -> None:
    body = {
        "prompt": "a",
        "steps": "20",
        "width": 64.0,
        "height": "64",
        "guidance": "2.5",
        "n": 2.0,
        "min_quality": "0",
    }
    assert client.post("/v1/jobs", json=body).status_code == 202
    assert [(row.steps, row.width, row.guidance, row.min_quality) for row in stored()] == [(20, 64, 2.5, 0.0)] * 2
    for name in ("steps", "width", "height", "guidance", "n", "min_quality", "deadline_s"):
        answer = client.post("/v1/jobs", json={"prompt": "a", name: True})
        assert code_and_field(answer) == (400, "bad_input", name)
    assert client.get("/v1/jobs?page=1.0&per_page=%201%20").status_code == 200


@pytest.mark.parametrize("seed", [MAX_SEED, MAX_SEED - 1])
def test_seeds_that_would_pass_the_last_are_refused(client: FlaskClient, seed: int) -> None:
    answer = client.post("/v1/jobs", json={"prompt": "a", "seed": seed, "n": 3})
    assert code_and_field(answer) == (422, "out_of_range", "seed")
    assert rows() == (0, 0)


def test_images_of_one_prompt_have_seeds_that_follow_each_other_even_where_the_first_is_random(
    client: FlaskClient,
) -> None:
    client.post("/v1/jobs", json={"prompts": ["a", "b"], "n": 3, "seed": -1})
    seeds = [row.seed for row in stored()]
    assert [seeds[1] - seeds[0], seeds[2] - seeds[0]] == [1, 2]
    assert seeds[3] != seeds[0]


def test_no_answer_writes_a_number_that_javascript_would_round(client: FlaskClient) -> None:
    wide = 6687881544318117707
    with worker():
        job = client.post("/v1/jobs", json={"prompt": "a", "seeds": [wide, 2**53 - 1, 2**53]}).get_json()
        answers = [
            client.post("/v1/images/generations", json={"prompt": "a", "seed": wide}),
            client.post("/sdapi/v1/txt2img", json={"prompt": "a", "seed": wide}),
        ]
    assert [line["seed"] for line in job["requests"]] == [str(wide), 2**53 - 1, str(2**53)]
    addresses = (job["links"]["self"], job["requests"][0]["link"], f"{job['links']['self']}/events")
    texts = [answer.text for answer in answers] + [client.get(address).text for address in addresses]
    for text in texts:
        assert f'"{wide}' in text.replace("\\", "")
        assert not re.search(rf"[:\[ ]{wide}\b", text.replace(f"Seed: {wide}", ""))
