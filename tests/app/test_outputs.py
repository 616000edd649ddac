"""Results that Argus writes itself: below allowed places only, resumed where they were, with what went wrong told."""

from __future__ import annotations

import csv
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, update

from core.database import transaction
from core.images import ImageStore
from core.outputs import JobOutput
from core.results import REMOVED
from core.tables import Image
from scheduler.control import outputs
from tests.app.conftest import Held, code_and_field, configured, draw

Submit = Callable[..., dict[str, Any]]
PAGE = {"Accept": "text/html"}


@pytest.fixture
def allowed(tmp_path: Path) -> Iterator[str]:
    """A place below which results may go."""
    prefix = f"file://{tmp_path}/out"
    with configured(ARGUS_OUTPUT_PREFIXES=f"memory://bucket/{{tenant}}, {prefix}"):
        yield prefix


def told(client: FlaskClient, job: dict[str, Any]) -> dict[str, Any]:
    return dict(client.get(job["links"]["self"]).get_json()["output"])


def now() -> None:
    """What is to be tried again is due at once."""
    with transaction() as session:
        session.execute(update(JobOutput).values(next_at=func.now()))


def test_nowhere_is_allowed_unless_the_setting_says_where(client: FlaskClient) -> None:
    answer = client.post("/v1/jobs", json={"prompt": "a cat", "output": "s3://bucket/mine"})
    assert code_and_field(answer) == (400, "bad_input", "output")
    assert "ARGUS_OUTPUT_PREFIXES" in answer.get_json()["detail"]


@pytest.mark.parametrize(
    "place", ["{}/../elsewhere", "{}x", "/etc", "{}/a::file:///etc", "{}/a\n", "{}/a?b", "", "file:///"]
)
def test_only_what_lies_below_an_allowed_place_is_taken(client: FlaskClient, allowed: str, place: str) -> None:
    answer = client.post("/v1/jobs", json={"prompt": "a cat", "output": place.format(allowed)})
    assert answer.status_code == (202 if place == "" else 400)
    assert place == "" or code_and_field(answer)[1:] == ("bad_input", "output")


def test_a_tenant_writes_below_its_own_name(client: FlaskClient, keys: Held, allowed: str) -> None:
    def sent(place: str) -> int:
        return client.post("/v1/jobs", json={"prompt": "a", "output": place}, headers=keys.bearer("both")).status_code

    assert (sent("memory://bucket/ours/x"), sent("memory://bucket/theirs/x")) == (202, 400)


def test_images_and_manifest_are_written_once_the_job_is_over(
    client: FlaskClient, submit: Submit, allowed: str
) -> None:
    job = submit(prompts=["a cat", "a dog"], output=f"{allowed}/team")
    draw(job["requests"][0]["id"])
    assert outputs.write_outputs() == 0  # the other is open
    draw(job["requests"][1]["id"])
    assert outputs.write_outputs() == 2
    assert outputs.write_outputs() == 0
    folder = Path(allowed.removeprefix("file://")) / "team" / job["id"]
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*(row["file"] for row in rows), "manifest.csv", "manifest.jsonl"]
    )
    assert all((folder / row["file"]).read_bytes().startswith(b"\x89PNG") for row in rows)
    said = told(client, job)
    assert (said["url"], said["written"], said["error"]) == (f"{allowed}/team/{job['id']}", 2, None)
    assert said["ended_at"]
    assert "All results are in" in client.get(f"/jobs/{job['id']}", headers=PAGE).text


def test_an_image_whose_file_is_gone_is_listed_as_removed_in_both_manifests(
    client: FlaskClient, submit: Submit, allowed: str
) -> None:
    job = submit(prompts=["a cat", "a dog"], output=f"{allowed}/team")
    gone, _ = (draw(request["id"]) for request in job["requests"])
    with transaction() as session:
        ImageStore().delete(session.get_one(Image, uuid.UUID(gone)).key)
    assert outputs.write_outputs() == 1
    folder = Path(allowed.removeprefix("file://")) / "team" / job["id"]
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    table = list(csv.DictReader((folder / "manifest.csv").read_text().splitlines()))
    assert [lines[0][name] for name in ("file", "image", "error")] == [None, None, REMOVED]
    assert [table[0][name] for name in ("file", "image", "error")] == ["", "", REMOVED]
    assert {row["file"] for row in lines} - {None} == {path.name for path in folder.glob("*.png")}


def test_it_goes_on_where_it_was(
    client: FlaskClient, submit: Submit, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "PORTION", 1)
    job = submit(prompts=["a", "b", "c"], output="memory://bucket/default/x")
    for request in job["requests"]:
        draw(request["id"])
    assert outputs.write_outputs(most_s=1e-9) == 0
    counts = [outputs._write(uuid.UUID(job["id"]), end=0.0) for _ in range(3)]
    assert counts == [1, 1, 1]
    assert told(client, job)["ended_at"] is None
    assert outputs.write_outputs() == 0  # the manifest is left
    assert told(client, job)["written"] == 3
    assert told(client, job)["ended_at"]
    assert len(fsspec.filesystem("memory").ls(f"/bucket/default/x/{job['id']}")) == 5


def test_a_place_that_cannot_be_written_is_told_and_tried_again(
    client: FlaskClient, submit: Submit, allowed: str
) -> None:
    job = submit(prompt="a cat", output=f"{allowed}/team")
    draw(job["requests"][0]["id"])
    blocked = Path(allowed.removeprefix("file://"))
    blocked.write_text("a file where a folder should be")
    assert outputs.write_outputs() == 0
    said = told(client, job)
    assert said["ended_at"] is None
    assert said["error"]
    assert "tried again" in client.get(f"/jobs/{job['id']}", headers=PAGE).text
    assert outputs.write_outputs() == 0  # not before its time
    blocked.unlink()
    now()
    assert outputs.write_outputs() == 1
    assert told(client, job)["error"] is None


def test_what_is_not_allowed_any_more_is_not_written(client: FlaskClient, submit: Submit, allowed: str) -> None:
    job = submit(prompt="a cat", output=f"{allowed}/team")
    draw(job["requests"][0]["id"])
    with configured(ARGUS_OUTPUT_PREFIXES=""):
        assert outputs.write_outputs() == 0
    assert "ARGUS_OUTPUT_PREFIXES" in told(client, job)["error"]


def test_a_job_that_is_retried_is_written_once_more(client: FlaskClient, submit: Submit, allowed: str) -> None:
    job = submit(prompts=["a", "b"], output=f"{allowed}/team")
    draw(job["requests"][0]["id"])
    client.post(f"/v1/jobs/{job['id']}/cancel", json={})
    assert outputs.write_outputs() == 1
    assert told(client, job)["ended_at"]
    client.post(f"/v1/jobs/{job['id']}/retry", json={})
    assert told(client, job)["ended_at"] is None
    draw(job["requests"][1]["id"])
    assert outputs.write_outputs() == 2
    assert told(client, job)["written"] == 2
