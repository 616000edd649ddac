"""Weights of words in each way they can be sent: what is kept, what is refused, where it is said again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from core.database import transaction
from core.tables import Request
from tests.app.conftest import code_and_field, configured
from tests.app.test_loras import LORAS
from tests.app.web.conftest import PAGE

WEIGHTED = LORAS.replace('reference = "exact"', 'reference = "exact"\nprompt_weights = "compel"')


@pytest.fixture
def weighing(client: FlaskClient, tmp_path: Path) -> Iterator[FlaskClient]:
    """A client of a family whose encoders read weights."""
    assert "prompt_weights" in WEIGHTED
    (tmp_path / "paper.toml").write_text(WEIGHTED)
    with configured(ARGUS_FAMILY=str(tmp_path / "paper.toml")):
        yield client


def kept(client: FlaskClient, **body: Any) -> list[tuple[str | None, ...]]:
    """Both texts, their weights and what was written, of each row that a job becomes."""
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    with transaction() as session:
        found = session.query(Request).filter(Request.job_id == answer.get_json()["id"]).order_by(Request.position)
        return [(row.prompt, row.negative_prompt, row.emphasis, row.prompt_asked) for row in found]


def test_marks_leave_the_texts_and_their_weights_stand_beside(weighing: FlaskClient) -> None:
    body = {"prompt": "a (red:1.2) fox", "negative_prompt": "[blur], (noise:1.5)"}
    assert kept(weighing, **body) == [("a red fox", "blur, noise", "2-5:1.2/0-4:0.9091,6-11:1.5", body["prompt"])]


def test_choices_and_tags_of_loras_are_drawn_first(weighing: FlaskClient) -> None:
    written = "a ({red|red}:1.2) fox <lora:ink:0.5>"
    assert kept(weighing, prompt=written) == [("a red fox", "", "2-5:1.2", written)]


def test_plain_and_literal_prompts_have_none(weighing: FlaskClient) -> None:
    assert kept(weighing, prompt="a red fox :)") == [("a red fox :)", "", None, None)]
    assert kept(weighing, prompt="a (red:1.2) fox", literal=True) == [("a (red:1.2) fox", "", None, None)]
    assert kept(weighing, prompt=r"a \(red\) fox") == [("a (red) fox", "", None, r"a \(red\) fox")]


def test_a_family_without_them_reads_them_as_text_and_says_so(client: FlaskClient) -> None:
    assert kept(client, prompt="a (red:1.2) fox") == [("a (red:1.2) fox", "", None, None)]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"prompt": "(" * 11 + "a" + ")" * 11}, (422, "bad_prompt", "prompt")),
        (
            {"prompts": ["a", {"prompt": "b", "negative_prompt": "(c:9)"}]},
            (422, "out_of_range", "prompts.1.negative_prompt"),
        ),
        ({"prompt": "()"}, (422, "bad_prompt", "prompt")),
    ],
)
def test_faults_name_the_field(weighing: FlaskClient, body: dict[str, Any], told: Any) -> None:
    assert code_and_field(weighing.post("/v1/jobs", json=body)) == told


def test_the_request_its_page_and_its_job_s_files_say_which(weighing: FlaskClient) -> None:
    job = weighing.post("/v1/jobs", json={"prompt": "a (red:1.2) fox", "negative_prompt": "(blur:0.5)"}).get_json()
    request = weighing.get(job["requests"][0]["link"]).get_json()
    assert request["emphasis"] == "2-5:1.2/0-4:0.5"
    assert request["notes"] == ["Drawn with weights: (red:1.2), (blur:0.5)."]
    assert request["notes"][0] in weighing.get(request["links"]["page"]).text
    assert weighing.get(f"/v1/jobs/{job['id']}").get_json()["requests"][0]["emphasis"] == request["emphasis"]
    assert "2-5:1.2/0-4:0.5" in weighing.get(f"/v1/jobs/{job['id']}/results.csv").text


def test_the_form_s_preview_says_which(weighing: FlaskClient) -> None:
    assert (
        "Drawn with weights: (red:1.2)."
        in weighing.post("/preview", data={"size": "64x64", "prompts": "a (red:1.2) fox"}, headers=PAGE).text
    )
