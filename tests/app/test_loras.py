"""LoRAs that requests name, in each way they can be sent: what is kept, what is refused, where it is said again."""

from __future__ import annotations

import csv
import io
import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import listening
from core.database import transaction
from core.tables import Request
from tests.app.conftest import FAMILY, code_and_field, configured, draw, rows
from tests.app.test_compat import A1111, worker
from tests.core.test_pictures import halves, saved

LORAS = (
    FAMILY.replace("embedded-unet", "stable-diffusion")
    + """
[models.small]
pipeline = "stable-diffusion"
path = "nowhere/small"
[levels.sm-small]
strategy = "sm"
model = "small"
[loras.ink]
path = "loras/ink.safetensors"
models = ["large"]
words = ["ink drawing", "inked"]
[loras."oil v1.2"]
path = "loras/oil"
models = ["large", "small"]
weight = 0.7
"""
)


@pytest.fixture
def with_loras(client: FlaskClient, tmp_path: Path) -> Iterator[FlaskClient]:
    """A client of a family that has LoRAs."""
    (tmp_path / "paper.toml").write_text(LORAS)
    with configured(ARGUS_FAMILY=str(tmp_path / "paper.toml")):
        yield client


def kept(client: FlaskClient, **body: Any) -> list[tuple[str, str | None, str | None]]:
    """Prompt, LoRAs and what was written, of each row that a job becomes."""
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    with transaction() as session:
        found = session.query(Request).filter(Request.job_id == answer.get_json()["id"]).order_by(Request.position)
        return [(row.prompt, row.loras, row.prompt_asked) for row in found]


@pytest.mark.parametrize(
    ("loras", "row"),
    [
        ([{"name": "ink", "weight": 0.8}], "ink:0.8"),
        ([{"name": "oil v1.2"}], "oil v1.2:0.7"),
        (["oil v1.2:1", {"name": "ink"}], "ink:1,oil v1.2:1"),
        ("oil v1.2, ink:-0.5", "ink:-0.5,oil v1.2:0.7"),
        ([{"name": "ink", "weight": 0.123456}], "ink:0.1235"),
        ([], None),
        (None, None),
    ],
)
def test_they_are_kept_by_name_with_the_familys_weight_where_none_is_given(
    with_loras: FlaskClient, loras: Any, row: str | None
) -> None:
    assert kept(with_loras, prompt="a fox", loras=loras) == [("a fox", row, None)]


def test_a_prompts_own_replace_the_jobs(with_loras: FlaskClient) -> None:
    prompts = ["a", {"prompt": "b", "loras": "oil v1.2"}, {"prompt": "c", "loras": []}]
    found = kept(with_loras, prompts=prompts, loras="ink")
    assert [row for _, row, _ in found] == ["ink:1", "oil v1.2:0.7", None]


def test_tags_leave_the_prompt_and_are_drawn_with_its_choices(with_loras: FlaskClient) -> None:
    written = "a fox <lora:ink:0.5>, {<lora:oil v1.2>|<LORA:oil v1.2:0.2:0.2>} red"
    found = kept(with_loras, prompt=written, seeds=list(range(8)))
    assert {row for _, row, _ in found} == {"ink:0.5,oil v1.2:0.7", "ink:0.5,oil v1.2:0.2"}
    assert {(prompt, asked) for prompt, _, asked in found} == {("a fox , red", written)}


def test_literal_and_negative_prompts_keep_their_tags(with_loras: FlaskClient) -> None:
    tagged = "a <lora:ink:1>"
    assert kept(with_loras, prompt=tagged, literal=True) == [(tagged, None, None)]
    assert kept(with_loras, prompt="a", negative_prompt=tagged) == [("a", None, None)]


def test_a_family_without_loras_reads_tags_as_text_and_says_so(client: FlaskClient) -> None:
    assert kept(client, prompt="a <lora:ink:1>") == [("a <lora:ink:1>", None, None)]
    answer = client.post("/v1/jobs", json={"prompt": "a", "loras": "ink"})
    assert code_and_field(answer) == (422, "unknown_lora", "loras")
    assert "it has none" in answer.get_json()["detail"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"prompt": "a", "loras": "chalk"}, (422, "unknown_lora", "loras")),
        ({"prompt": "a <lora:chalk:1>"}, (422, "unknown_lora", "prompt")),
        ({"prompts": ["a", {"prompt": "b", "loras": "chalk"}]}, (422, "unknown_lora", "prompts.1.loras")),
        ({"prompts": ["a", "b <lora:chalk>"]}, (422, "unknown_lora", "prompts.1.prompt")),
        ({"prompt": "a", "loras": "ink:5.1"}, (422, "out_of_range", "loras")),
        ({"prompt": "a", "loras": "ink:nan"}, (422, "out_of_range", "loras.0.weight")),
        ({"prompt": "a", "loras": "ink:much"}, (400, "bad_input", "loras.0.weight")),
        ({"prompt": "a <lora:ink:much>"}, (400, "bad_input", "prompt")),
        ({"prompt": "a <lora:ink:0.2:0.4>"}, (400, "bad_input", "prompt")),
        ({"prompt": "a <lora:ink>", "loras": "ink"}, (400, "bad_input", "loras")),
        ({"prompt": "<lora:ink>"}, (422, "bad_prompt", "prompt")),
        ({"prompt": "a", "loras": 7}, (400, "bad_input", "loras")),
        ({"prompt": "a", "loras": [{"name": "ink", "strength": 1}]}, (400, "bad_input", "loras.0.strength")),
        ({"prompt": "a", "loras": "ink", "level": "sm-small"}, (422, "unknown_level", "level")),
        ({"prompt": "a", "loras": "oil v1.2, ink", "level": "sm-small"}, (422, "unknown_level", "level")),
    ],
)
def test_what_cannot_be_is_refused_by_its_field_and_nothing_is_stored(
    with_loras: FlaskClient, body: dict[str, Any], told: tuple[int, str, str]
) -> None:
    assert code_and_field(with_loras.post("/v1/jobs", json=body)) == told
    assert rows() == (0, 0)


def test_a_level_that_cannot_draw_with_them_names_those_that_can(with_loras: FlaskClient) -> None:
    answer = with_loras.post("/v1/jobs", json={"prompt": "a", "loras": "ink", "level": "sm-small"})
    assert "auto or one of: exact, ac-5, fs-10" in answer.get_json()["detail"]
    assert kept(with_loras, prompt="a", loras="oil v1.2", level="sm-small") == [("a", "oil v1.2:0.7", None)]


def test_more_than_a_request_may_have_are_refused(client: FlaskClient, tmp_path: Path) -> None:
    many = "".join(f'[loras.l{n}]\npath = "l{n}"\nmodels = ["large"]\n' for n in range(6))
    (tmp_path / "paper.toml").write_text(LORAS + many)
    with configured(ARGUS_FAMILY=str(tmp_path / "paper.toml")):
        asked = [f"l{n}" for n in range(6)]
        assert kept(client, prompt="a", loras=asked[:5])
        answer = client.post("/v1/jobs", json={"prompt": "a", "loras": asked})
        assert code_and_field(answer) == (422, "out_of_range", "loras")


def test_files_have_a_column_and_lines_a_field(with_loras: FlaskClient) -> None:
    table = b'prompt,lora\na,ink:0.5\nb,"ink, oil v1.2:1"\nc,\nd,nan\n'
    lines = b'{"prompt": "a", "loras": [{"name": "ink", "weight": 0.5}]}\n{"prompt": "b", "loras": "oil v1.2"}\n'
    for name, content, expected in (
        ("p.csv", table, ["ink:0.5", "ink:1,oil v1.2:1", None, None]),
        ("p.jsonl", lines, ["ink:0.5", "oil v1.2:0.7"]),
    ):
        answer = with_loras.post("/v1/jobs/csv", data={"file": (io.BytesIO(content), name)})
        assert answer.status_code == 202, answer.text
        page = with_loras.get(answer.get_json()["links"]["self"]).get_json()
        told = [",".join(f"{one['name']}:{one['weight']:g}" for one in row["loras"]) for row in page["requests"]]
        assert told == [row or "" for row in expected]
    wrong = with_loras.post("/v1/jobs/csv", data={"file": (io.BytesIO(b"prompt,loras\na,ink\nb,chalk\n"), "p.csv")})
    assert code_and_field(wrong) == (422, "unknown_lora", "loras")
    assert "Line 3" in wrong.get_json()["detail"]


def test_request_manifest_levels_and_pages_say_it(with_loras: FlaskClient) -> None:
    job = with_loras.post("/v1/jobs", json={"prompt": "a fox <lora:ink:0.8>", "loras": ["oil v1.2"]}).get_json()
    draw(job["requests"][0]["id"])
    request = with_loras.get(job["requests"][0]["link"]).get_json()
    assert request["loras"] == [{"name": "ink", "weight": 0.8}, {"name": "oil v1.2", "weight": 0.7}]
    assert request["notes"] == []
    table = with_loras.get(f"{job['links']['self']}/results.csv").text
    assert next(csv.DictReader(io.StringIO(table)))["loras"] == "ink:0.8,oil v1.2:0.7"
    assert "ink × 0.8, oil v1.2 × 0.7" in with_loras.get(f"/requests/{request['id']}").text
    levels = with_loras.get("/v1/levels").get_json()
    assert levels["loras"][0] == {
        "name": "ink",
        "weight": 1.0,
        "words": ["ink drawing", "inked"],
        "levels": ["exact", "ac-5", "fs-10"],
    }
    assert 'name="loras"' in with_loras.get("/").text


def test_a_family_without_loras_shows_no_field_for_them(client: FlaskClient) -> None:
    assert 'name="loras"' not in client.get("/").text
    assert client.get("/v1/levels").get_json()["loras"] == []


def test_clients_of_the_web_ui_list_them_and_name_them_by_tags(
    with_loras: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "POLL_S", 0.02)
    listed = with_loras.get("/sdapi/v1/loras").get_json()
    assert [(one["name"], one["path"]) for one in listed] == [
        ("ink", "loras/ink.safetensors"),
        ("oil v1.2", "loras/oil"),
    ]
    assert listed[0]["metadata"] == {"activation text": "ink drawing, inked", "preferred weight": 1.0}
    with worker():
        answer = with_loras.post(A1111, json={"prompt": "a fox <lora:ink:0.8>"}).get_json()
        (origin,) = json.loads(answer["info"])["argus"]
    assert with_loras.get(origin["link"]).get_json()["loras"] == [{"name": "ink", "weight": 0.8}]
    unknown = with_loras.post(A1111, json={"prompt": "a fox <lora:chalk:0.8>"})
    assert (unknown.status_code, unknown.get_json()["error"]) == (422, "unknown_lora")


def test_a_comparison_of_all_levels_is_of_those_that_can_draw_with_them(with_loras: FlaskClient) -> None:
    answer = with_loras.post("/v1/compare", json={"prompt": "a", "loras": "ink", "seeds": [1]})
    assert answer.status_code == 202, answer.text
    with transaction() as session:
        asked = session.query(Request.level_asked, Request.loras).order_by(Request.position).all()
    assert asked == [("exact", "ink:1"), ("ac-5", "ink:1"), ("fs-10", "ink:1")]
    unknown = with_loras.post("/v1/compare", json={"prompt": "a", "loras": "chalk", "seeds": [1]})
    assert code_and_field(unknown) == (422, "unknown_lora", "loras")


def test_a_worker_gets_them_as_the_row_has_them(with_loras: FlaskClient) -> None:
    import uuid

    from core.families import load_family
    from core.loras import LoraUse
    from core.requests import Claim
    from core.settings import settings
    from workers.execution import generation_request

    kept(with_loras, prompt="a", loras="oil v1.2, ink:0.5")
    with transaction() as session:
        row = session.query(Request).one()
        session.expunge(row)
    asked = generation_request(Claim(row, uuid.uuid4(), 1), load_family(settings().family), ())
    assert asked.loras == (LoraUse("ink", 0.5), LoraUse("oil v1.2", 0.7))


@pytest.mark.parametrize("asked", [{"prompt": "a <lora:ink>"}, {"prompt": "a", "loras": ["ink"]}])
def test_a_kind_with_a_sampler_of_its_own_takes_none_also_by_a_tag(
    with_loras: FlaskClient, asked: dict[str, Any]
) -> None:
    image = b64encode(saved(halves("RGB", "red", "blue", (64, 64)))).decode()
    blur = {"operator": "blur", "sigma": 1.5, "size": 13}
    answer = with_loras.post("/v1/jobs", json={**asked, "image": image, "operator": blur})
    assert code_and_field(answer)[1:] == ("bad_input", "loras" if "loras" in asked else "prompt")
