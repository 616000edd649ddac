"""A job's results as files: the client's own ids beside what was drawn."""

from __future__ import annotations

import csv
import io
import json
import tarfile
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from cli.results import unpack
from core import results as manifest
from core.database import transaction
from core.images import ImageStore
from core.tables import Image, Request, State
from tests.app.conftest import draw

PROMPTS = [{"prompt": 'a "red", fox', "id": "sku-1"}, {"prompt": "a cat", "custom_id": "sku-2"}, "a dog"]


def test_csv_and_json_lines_say_the_same_in_order(
    client: FlaskClient, submit: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "PAGE", 2)
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


def unpacked(answer: Any) -> dict[str, bytes]:
    """The files of an archive by name."""
    if answer.mimetype == "application/zip":
        with zipfile.ZipFile(io.BytesIO(answer.data)) as found:
            assert found.testzip() is None
            return {name: found.read(name) for name in found.namelist()}
    with tarfile.open(fileobj=io.BytesIO(answer.data)) as files:
        return {about.name: (files.extractfile(about) or io.BytesIO()).read() for about in files}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_has_the_images_by_own_id_and_says_of_each_request_what_came_of_it(
    client: FlaskClient, submit: Callable[..., dict[str, Any]], kind: str
) -> None:
    job = submit(prompts=PROMPTS, seed=7)
    first, second, third = job["requests"]
    image, removed = draw(first["id"]), draw(second["id"])
    with transaction() as session:
        ImageStore().delete(session.get_one(Image, uuid.UUID(removed)).key)
        failed = {"state": State.FAILED, "error_code": "not_a_number", "error": "NaN at step 3"}
        session.execute(update(Request).where(Request.id == uuid.UUID(third["id"])).values(failed))
    found = unpacked(client.get(f"{job['links']['self']}/results.{kind}"))
    assert list(found) == ["000000-sku-1-7.png", "manifest.csv", "manifest.jsonl"]
    assert found["000000-sku-1-7.png"] == client.get(f"/v1/images/{image}").data
    lines = [json.loads(line) for line in found["manifest.jsonl"].splitlines()]
    assert [line["file"] for line in lines] == ["000000-sku-1-7.png", None, None]
    assert [line["model"] for line in lines] == ["large", "large", None]
    assert [line["error"] for line in lines] == [None, "its image was removed", "NaN at step 3"]
    table = list(csv.DictReader(io.StringIO(found["manifest.csv"].decode())))
    assert [row["custom_id"] for row in table] == ["sku-1", "sku-2", ""]


def test_only_what_is_selected_is_in_a_file(client: FlaskClient, submit: Callable[..., dict[str, Any]]) -> None:
    job = submit(prompts=PROMPTS)
    draw(job["requests"][1]["id"])
    lines = client.get(f"{job['links']['self']}/results.jsonl?state=done").text.splitlines()
    assert [json.loads(line)["position"] for line in lines] == [1]
    assert client.get(f"{job['links']['self']}/results.csv?state=lost").status_code == 400


def test_what_a_spreadsheet_would_compute_is_text_in_csv_and_itself_in_json(
    client: FlaskClient, submit: Callable[..., dict[str, Any]]
) -> None:
    job = submit(prompts=[{"prompt": '=HYPERLINK("http://x","y")', "custom_id": "@a"}, "-1 apples", "a = b"])
    table = list(csv.DictReader(io.StringIO(client.get(f"{job['links']['self']}/results.csv").text)))
    assert [row["prompt"] for row in table] == ['\'=HYPERLINK("http://x","y")', "'-1 apples", "a = b"]
    assert table[0]["custom_id"] == "'@a"
    lines = client.get(f"{job['links']['self']}/results.jsonl").text.splitlines()
    assert json.loads(lines[1])["prompt"] == "-1 apples"


def test_an_archive_is_written_while_it_is_read(
    client: FlaskClient, submit: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, read = submit(prompts=["a"] * 5), []
    for request in job["requests"]:
        draw(request["id"])
    get = ImageStore.get
    monkeypatch.setattr(ImageStore, "get", lambda self, key, *more: read.append(key) or get(self, key, *more))
    answer = client.get(f"{job['links']['self']}/results.zip", buffered=False)
    pieces = iter(answer.response)
    next(pieces)
    assert len(read) == 1
    assert sum(1 for _ in pieces) >= 5
    assert len(read) == 5


def test_a_tar_is_unpacked_into_a_folder_or_a_bucket_as_it_comes(
    client: FlaskClient, submit: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    job = submit(prompts=PROMPTS, seed=7)
    draw(job["requests"][0]["id"])
    data = client.get(f"{job['links']['self']}/results.tar").data
    for place in (str(tmp_path / "new" / "folder"), "memory://bucket/prefix"):
        assert unpack(io.BytesIO(data), place) == 1
        files, root = fsspec.core.url_to_fs(place)
        names = {path.rpartition("/")[2] for path in files.ls(root, detail=False)}
        assert names == {"000000-sku-1-7.png", "manifest.csv", "manifest.jsonl"}
