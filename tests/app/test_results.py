"""A job's results as files: the client's own ids beside what was drawn."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.api import results
from tests.app.conftest import draw

PROMPTS = [{"prompt": 'a "red", fox', "id": "sku-1"}, {"prompt": "a cat", "custom_id": "sku-2"}, "a dog"]


def test_csv_and_json_lines_say_the_same_in_order(
    client: FlaskClient, submit: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "PAGE", 2)
    job = submit(prompts=PROMPTS, seed=2**60)
    image = draw(job["requests"][0]["id"])
    answers = [client.get(f"{job['links']['self']}/results.{ending}") for ending in ("csv", "jsonl")]
    table = list(csv.DictReader(io.StringIO(answers[0].text)))
    lines = [json.loads(line) for line in answers[1].text.splitlines()]
    assert [row["custom_id"] for row in table] == ["sku-1", "sku-2", ""]
    assert [row["custom_id"] for row in lines] == ["sku-1", "sku-2", None]
    assert [row["prompt"] for row in table] == [row["prompt"] for row in lines] == ['a "red", fox', "a cat", "a dog"]
    assert table[0]["seed"] == lines[0]["seed"] == str(2**60)
    assert table[0]["image"] == lines[0]["image"] == f"http://localhost/v1/images/{image}"
    assert (lines[1]["image"], lines[1]["state"]) == (None, "accepted")
    assert f"{job['id']}.csv" in answers[0].headers["Content-Disposition"]


def test_results_of_no_job_are_not_found(client: FlaskClient) -> None:
    assert client.get(f"/v1/jobs/{uuid.uuid4()}/results.csv").status_code == 404
