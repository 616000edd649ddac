"""`POST /v1/images/edits` and its form, as clients send it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image as Pictures

from core.database import transaction
from core.images import ImageStore
from core.tables import InputImage
from tests.app.conftest import rows
from tests.app.test_compat import stored, worker
from tests.core.test_pictures import halves, saved

EDITS = "/v1/images/edits"
PICTURE = saved(halves("RGB", "red", "blue", (128, 64)))
CLEAR = saved(halves("RGBA", (255, 0, 0, 255), (0, 0, 0, 0), (128, 64)))  # its right half is transparent
GREY = saved(halves("L", 0, 255, (128, 64)))


def edit(client: FlaskClient, **form: Any) -> Any:
    files = {name: (io.BytesIO(data), f"{name}.png") for name, data in form.items() if isinstance(data, bytes)}
    sent = {"prompt": "a green pear", **{name: value for name, value in form.items() if name not in files}, **files}
    with worker():
        answer = client.post(EDITS, data=sent, content_type="multipart/form-data")
        answer.get_data()  # of a stream all of it
        return answer


def picture_of(id: Any) -> Pictures.Image:
    with transaction() as session:
        row = session.get_one(InputImage, id)
    return Pictures.open(io.BytesIO(ImageStore().get(row.key, row.sha256)))


def test_an_image_is_drawn_from_with_the_fields_of_generations(client: FlaskClient) -> None:
    answer = edit(client, image=PICTURE, n="2", seed="5", model="gpt-image-1", quality="high", strength="0.4")
    assert answer.status_code == 200, answer.text
    body, (first, second) = answer.get_json(), stored()
    assert len(body["data"]) == 2
    assert (first.seed, second.seed, first.strength, first.level_asked) == (5, 6, pytest.approx(0.4), "exact")
    assert first.mask_id is None
    assert picture_of(first.source_id).size == (128, 64)
    assert (first.width, first.height) == (128, 64)


@pytest.mark.parametrize(
    ("form", "masked"),
    [
        ({"image": PICTURE, "mask": CLEAR}, True),
        ({"image": PICTURE, "mask": GREY}, True),
        ({"image": CLEAR}, True),
        ({"image": PICTURE}, False),
    ],
)
def test_what_is_transparent_or_white_in_a_mask_is_drawn_anew(
    client: FlaskClient, form: dict[str, bytes], masked: bool
) -> None:
    assert edit(client, **form).status_code == 200
    (row,) = stored()
    assert (row.strength, row.mask_id is not None) == ((1.0, True) if masked else (0.75, False))
    if masked:
        mask = picture_of(row.mask_id).convert("L")
        assert (mask.getpixel((8, 8)), mask.getpixel((120, 8))) == (0, 255)


def test_the_front_ends_name_of_a_list_of_one_is_read(client: FlaskClient) -> None:
    assert edit(client, **{"image[]": PICTURE}).status_code == 200
    assert stored()[0].source_id is not None


def test_events_of_a_stream_are_those_of_edits(client: FlaskClient) -> None:
    answer = edit(client, image=PICTURE, stream="true")
    assert answer.mimetype == "text/event-stream"
    events = [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")]
    assert events == ["image_edit.completed"]


@pytest.mark.parametrize(
    ("form", "code", "param"),
    [
        ({}, "bad_input", "image"),
        ({"image": b"GIF89a"}, "bad_picture", "image"),
        ({"image": PICTURE, "mask": saved(halves("L", 0, 255))}, "bad_picture", "mask"),
        ({"image": PICTURE, "mask": saved(Pictures.new("L", (128, 64)))}, "bad_picture", "mask"),
        ({"image": PICTURE, "strength": "2"}, "out_of_range", "strength"),
        ({"image": PICTURE, "n": "11"}, "out_of_range", "n"),
        ({"image": PICTURE, "size": "9x9"}, "out_of_range", "size"),
        ({"image": PICTURE, "model": "nothing"}, "model_not_found", "model"),
        ({"image": PICTURE, "background": "transparent"}, "bad_input", "background"),
    ],
)
def test_what_cannot_be_is_refused_as_its_clients_know_it(
    client: FlaskClient, form: dict[str, Any], code: str, param: str
) -> None:
    answer = edit(client, **form)
    assert answer.status_code == (404 if code == "model_not_found" else 400)
    error = answer.get_json()["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert rows() == (0, 0)


def test_one_image_is_begun_with(client: FlaskClient) -> None:
    files = [(io.BytesIO(PICTURE), "a.png"), (io.BytesIO(GREY), "b.png")]
    answer = client.post(EDITS, data={"prompt": "a", "image[]": files}, content_type="multipart/form-data")
    assert (answer.status_code, answer.get_json()["error"]["param"]) == (400, "image")
