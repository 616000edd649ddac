"""Images that submissions begin with: sent, named, kept once, checked before anything is stored."""

from __future__ import annotations

import io
import uuid
from base64 import b64encode
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image as Pictures
from sqlalchemy import func, select, update

from cli.checks.files import files
from core.database import transaction
from core.images import ImageStore
from core.tables import InputImage, Request
from scheduler.control.orphan_files import OrphanFiles
from scheduler.control.prune import remove_unnamed_inputs
from tests.app.conftest import Held, code_and_field, draw, rows
from tests.core.test_pictures import halves, saved

PICTURE, MASK = saved(halves("RGB", "red", "blue", (128, 64))), saved(halves("L", 0, 255, (128, 64)))
IMAGE, NARROW, BLACK = (
    b64encode(data).decode() for data in (PICTURE, saved(halves("L", 0, 255)), saved(Pictures.new("L", (128, 64))))
)


def send(client: FlaskClient, data: bytes = PICTURE, **more: Any) -> Any:
    form = {"file": (io.BytesIO(data), "picture.png")}
    return client.post("/v1/inputs", data=form, content_type="multipart/form-data", **more)


def kept() -> int:
    with transaction() as session:
        return session.scalar(select(func.count()).select_from(InputImage)) or 0


def columns() -> list[tuple[Any, ...]]:
    with transaction() as session:
        found = select(Request.width, Request.height, Request.strength, Request.mask_id.is_not(None))
        return [tuple(row) for row in session.execute(found.order_by(Request.position))]


def test_an_image_that_was_sent_is_begun_with_by_its_id(client: FlaskClient) -> None:
    answer = send(client)
    assert answer.status_code == 201
    sent = answer.get_json()
    assert (sent["width"], sent["height"]) == (128, 64)
    again = client.get(answer.headers["Location"])
    assert Pictures.open(io.BytesIO(again.data)).size == (128, 64)
    kept_already = client.get(answer.headers["Location"], headers={"If-None-Match": again.headers["ETag"]})
    assert (kept_already.status_code, kept_already.data) == (304, b"")
    job = client.post("/v1/jobs", json={"prompt": "a", "image": sent["id"], "strength": 0.4, "n": 2})
    assert job.status_code == 202, job.text
    assert columns() == [(128, 64, pytest.approx(0.4), False)] * 2
    request = client.get(f"/v1/requests/{job.get_json()['requests'][0]['id']}").get_json()
    assert (request["kind"], request["strength"]) == ("image-to-image", 0.4)
    assert request["links"]["source"].endswith(f"/v1/inputs/{sent['id']}")


def test_the_same_file_is_kept_once(client: FlaskClient) -> None:
    ids = {send(client).get_json()["id"] for _ in range(3)}
    client.post("/v1/jobs", json={"prompt": "a", "image": IMAGE})
    assert (len(ids), kept()) == (1, 1)
    assert sum(str(*ids) in key for key in ImageStore().files()) == 1


def test_a_file_that_was_lost_is_there_again_once_it_is_sent_again(client: FlaskClient) -> None:
    sent = send(client)
    (key,) = (key for key in ImageStore().files() if sent.get_json()["id"] in key)
    ImageStore().delete(key)
    assert client.get(sent.headers["Location"]).status_code == 404
    found = next(each for each in files(repair=False) if each.subject == "inputs")
    assert (found.ok, "1 without their file" in found.text) == (False, True)
    assert send(client).get_json()["id"] == sent.get_json()["id"]
    assert client.get(sent.headers["Location"]).status_code == 200
    assert all(each.ok for each in files(repair=False) if each.subject == "inputs")


def test_image_and_mask_in_base64_go_with_the_job_that_names_them(client: FlaskClient) -> None:
    mask = f"data:image/png;base64,{b64encode(MASK).decode()}"
    body = {"prompts": [{"prompt": "a", "mask": mask}, {"prompt": "b", "width": 64, "height": 64}]}
    job = client.post("/v1/jobs", json={**body, "image": IMAGE})
    assert job.status_code == 202, job.text
    assert columns() == [(128, 64, 1.0, True), (64, 64, 0.75, False)]
    assert kept() == 2


def test_an_image_that_was_drawn_here_is_begun_with_by_its_id(client: FlaskClient, submit: Any) -> None:
    first = submit(prompt="a")["requests"][0]["id"]
    draw(first)
    image = client.get(f"/v1/requests/{first}").get_json()["images"][0]["id"]
    job = client.post("/v1/jobs", json={"prompt": "b", "image": image})
    assert job.status_code == 202, job.text
    assert kept() == 1


def test_an_image_is_drawn_so_many_times_as_large_and_little_is_changed_of_it(client: FlaskClient) -> None:
    small = b64encode(saved(halves("RGB", "red", "blue", (60, 30)))).decode()
    prompts = [{"prompt": "a"}, {"prompt": "b", "strength": 0.5}]
    job = client.post("/v1/jobs", json={"prompts": prompts, "image": small, "upscale": 2})
    assert job.status_code == 202, job.text
    assert columns() == [(128, 64, pytest.approx(0.3), False), (128, 64, pytest.approx(0.5), False)]


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"image": "not base64!"}, "bad_picture", "image"),
        ({"image": b64encode(b"no picture").decode()}, "bad_picture", "image"),
        ({"image": str(uuid.uuid4())}, "not_found", "image"),
        ({"image": ""}, "bad_input", "image"),
        ({"mask": b64encode(MASK).decode()}, "bad_input", "mask"),
        ({"strength": 0.5}, "bad_input", "strength"),
        ({"image": IMAGE, "strength": 0.001}, "out_of_range", "strength"),
        ({"image": IMAGE, "strength": 1.01}, "out_of_range", "strength"),
        ({"image": IMAGE, "mask": NARROW}, "bad_picture", "mask"),
        ({"image": IMAGE, "mask": IMAGE[:-40]}, "bad_picture", "mask"),
        ({"image": IMAGE, "mask": BLACK}, "bad_picture", "mask"),
        ({"image": IMAGE, "width": 100}, "out_of_range", "width"),
        ({"upscale": 2}, "bad_input", "upscale"),
        ({"image": IMAGE, "upscale": 1}, "out_of_range", "upscale"),
        ({"image": IMAGE, "upscale": 2}, "out_of_range", "upscale"),
        ({"image": IMAGE, "upscale": 2, "height": 64}, "bad_input", "upscale"),
    ],
)
def test_what_cannot_be_begun_with_is_refused_by_field_and_no_row_is_stored(
    client: FlaskClient, body: dict[str, Any], code: str, field: str
) -> None:
    answer = client.post("/v1/jobs", json={"prompt": "a", **body})
    assert code_and_field(answer)[1:] == (code, field)
    assert rows() == (0, 0)
    one = {"prompts": ["b", {"prompt": "a", **body}]}
    assert code_and_field(client.post("/v1/jobs", json=one))[2] == f"prompts.1.{field}"


@pytest.mark.parametrize("data", [b"", b"GIF89a", PICTURE[:60]])
def test_a_file_that_is_no_picture_is_refused(client: FlaskClient, data: bytes) -> None:
    assert code_and_field(send(client, data))[1:] == ("bad_picture", "file")
    assert kept() == 0


def test_another_tenant_s_image_is_not_there(client: FlaskClient, keys: Held) -> None:
    mine, other = keys.bearer("both"), keys.bearer("foreign")
    sent = send(client, headers=mine).get_json()["id"]
    assert client.get(f"/v1/inputs/{sent}", headers=mine).status_code == 200
    assert client.get(f"/v1/inputs/{sent}", headers=other).status_code == 404
    answer = client.post("/v1/jobs", json={"prompt": "a", "image": sent}, headers=other)
    assert code_and_field(answer)[1:] == ("not_found", "image")
    assert send(client, headers=other).get_json()["id"] != sent


def test_what_nobody_names_any_more_goes_a_day_later_and_its_file_with_it(client: FlaskClient) -> None:
    named = send(client).get_json()["id"]
    lone = send(client, MASK).get_json()["id"]
    client.post("/v1/jobs", json={"prompt": "a", "image": named})
    store = ImageStore()
    assert remove_unnamed_inputs(store) == 0
    with transaction() as session:
        session.execute(update(InputImage).values(used_at=func.now() - func.make_interval(0, 0, 0, 2)))
    assert remove_unnamed_inputs(store) == 1
    assert client.get(f"/v1/inputs/{lone}").status_code == 404
    assert client.get(f"/v1/inputs/{named}").status_code == 200
    assert not any(lone in key for key in store.files())


def test_the_file_of_an_image_to_begin_with_is_no_orphan(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = send(client).get_json()["id"]
    orphans = OrphanFiles(ImageStore())
    monkeypatch.setattr(orphans, "_older", lambda keys, before: tuple(keys))
    assert not any(sent in key for key in orphans.look(1000).files)
    with transaction() as session:
        session.delete(session.get_one(InputImage, uuid.UUID(sent)))
    assert any(sent in key for key in orphans.look(1000).files)
