"""Kinds of job with samplers of their own: what a submission has to say, what it may not, what its rows become."""

from __future__ import annotations

import io
from base64 import b64encode
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image as Pictures
from sqlalchemy import select

from core.database import transaction
from core.tables import Request
from tests.app.conftest import code_and_field, rows
from tests.core.test_pictures import halves, saved


def written(mode: str, one: Any, other: Any, size: tuple[int, int]) -> str:
    return b64encode(saved(halves(mode, one, other, size))).decode()


IMAGE, SMALL, ODD = (written("RGB", "red", "blue", size) for size in ((128, 64), (32, 16), (60, 32)))
INFRARED, NARROW = written("L", 40, 250, (128, 64)), written("L", 40, 250, (64, 64))
MASK = written("L", 0, 255, (128, 64))
BLUR = {"operator": "blur", "sigma": 1.5, "size": 13, "noise": 0.01}
NOISY_MASK = {"operator": "mask", "noise": 0.1}
DOWN = {"operator": "down", "factor": 4}


def only() -> Request:
    with transaction() as session:
        return session.scalars(select(Request)).one()


@pytest.mark.parametrize(
    ("body", "operator"),
    [
        ({"image": IMAGE, "operator": BLUR}, BLUR),
        ({"image": SMALL, "operator": DOWN, "kind": "restoration"}, DOWN),
        ({"image": IMAGE, "mask": MASK, "kind": "restoration"}, {"operator": "mask"}),
        ({"image": IMAGE, "mask": MASK, "operator": NOISY_MASK}, NOISY_MASK),
        ({"image": SMALL, "operator": '{"operator": "down", "factor": "4"}'}, {"operator": "down", "factor": "4"}),
    ],
)  # fmt: skip
def test_a_picture_is_restored_at_the_size_that_was_measured(
    client: FlaskClient, body: dict[str, Any], operator: dict[str, Any]
) -> None:
    answer = client.post("/v1/jobs", json={"prompt": "", **body})
    assert answer.status_code == 202, answer.text
    row = only()
    assert (row.kind, row.operator, row.width, row.height) == ("restoration", operator, 128, 64)
    assert (row.level_asked, row.guidance, row.strength) == ("exact", 1.0, None)
    shown = client.get(f"/v1/requests/{row.id}").get_json()
    assert (shown["kind"], shown["operator"], shown["prompt"]) == ("restoration", operator, "")
    assert "source" in shown["links"]


def test_two_pictures_are_fused(client: FlaskClient) -> None:
    body = {"prompt": "a street at night", "image": IMAGE, "second_image": INFRARED}
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    row = only()
    assert (row.kind, row.operator, row.width, row.height) == ("fusion", None, 128, 64)
    assert row.second_id not in (None, row.source_id)
    assert "second" in client.get(f"/v1/requests/{row.id}").get_json()["links"]


@pytest.mark.parametrize("kind", ["text-to-image", "image-to-image", "inpainting"])
def test_a_stock_kind_may_be_named(client: FlaskClient, kind: str) -> None:
    given = {"image": IMAGE} if kind != "text-to-image" else {}
    given |= {"mask": MASK} if kind == "inpainting" else {}
    answer = client.post("/v1/jobs", json={"prompt": "a", "kind": kind, **given})
    assert answer.status_code == 202, answer.text
    assert (only().kind, only().own_kind) == (kind, None)


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"kind": "colouring"}, "bad_input", "kind"),
        ({"kind": "restoration"}, "bad_input", "image"),
        ({"kind": "restoration", "image": IMAGE}, "bad_input", "operator"),
        ({"kind": "fusion", "image": IMAGE}, "bad_input", "second_image"),
        ({"second_image": INFRARED}, "bad_input", "image"),
        ({"image": IMAGE, "second_image": NARROW}, "bad_input", "second_image"),
        ({"image": IMAGE, "second_image": INFRARED, "mask": MASK}, "bad_input", "mask"),
        ({"image": IMAGE, "second_image": INFRARED, "operator": BLUR}, "bad_input", "second_image"),
        ({"image": IMAGE, "kind": "text-to-image"}, "bad_input", "kind"),
        ({"image": IMAGE, "kind": "inpainting"}, "bad_input", "kind"),
        ({"image": IMAGE, "kind": "image-to-image", "operator": BLUR}, "bad_input", "operator"),
        ({"image": IMAGE, "kind": "translation"}, "bad_input", "kind"),
        ({"kind": "translation"}, "bad_input", "image"),
        ({"operator": BLUR}, "bad_input", "image"),
        ({"image": IMAGE, "operator": "blur"}, "bad_input", "operator"),
        ({"image": IMAGE, "operator": {}}, "bad_input", "operator"),
        ({"image": IMAGE, "operator": {"operator": "rain"}}, "bad_input", "operator"),
        ({"image": IMAGE, "operator": {**BLUR, "sigma": 0}}, "out_of_range", "operator.sigma"),
        ({"image": IMAGE, "operator": {**BLUR, "size": 129}}, "out_of_range", "operator.size"),
        ({"image": IMAGE, "operator": {**BLUR, "wind": 1}}, "bad_input", "operator.wind"),
        ({"image": IMAGE, "operator": {"operator": "mask"}}, "bad_input", "mask"),
        ({"image": IMAGE, "mask": MASK, "operator": {**NOISY_MASK, "noise": 2}}, "out_of_range", "operator.noise"),
        ({"image": IMAGE, "mask": MASK, "operator": {**NOISY_MASK, "factor": 2}}, "bad_input", "operator.factor"),
        ({"image": IMAGE, "mask": MASK, "operator": BLUR}, "bad_input", "mask"),
        ({"image": ODD, "operator": BLUR}, "out_of_range", "image"),
        ({"image": ODD, "operator": DOWN}, "out_of_range", "image"),
        ({"image": SMALL, "operator": DOWN, "width": 64}, "bad_input", "width"),
        ({"image": IMAGE, "operator": BLUR, "strength": 0.5}, "bad_input", "strength"),
        ({"image": IMAGE, "operator": BLUR, "upscale": 2}, "bad_input", "upscale"),
        ({"image": IMAGE, "operator": BLUR, "guidance": 4}, "bad_input", "guidance"),
        ({"image": IMAGE, "operator": BLUR, "level": "fs-2"}, "bad_input", "level"),
        ({"image": IMAGE, "operator": BLUR, "parallel": "parataa"}, "bad_input", "parallel"),
    ],
)  # fmt: skip
def test_what_a_kind_cannot_take_is_refused_by_field_and_no_row_is_stored(
    client: FlaskClient, body: dict[str, Any], code: str, field: str
) -> None:
    answer = client.post("/v1/jobs", json={"prompt": "a", **body})
    assert code_and_field(answer)[1:] == (code, field), answer.text
    assert rows() == (0, 0)


def test_a_prompt_s_own_operator_is_named_with_its_place(client: FlaskClient) -> None:
    body = {"prompts": ["b", {"prompt": "a", "image": IMAGE, "operator": {**BLUR, "sigma": 0}}]}
    assert code_and_field(client.post("/v1/jobs", json=body))[2] == "prompts.1.operator.sigma"


@pytest.mark.parametrize(
    ("own", "field"),
    [
        ({"kind": "restoration", "image": IMAGE}, "operator"),
        ({"operator": BLUR}, "image"),
        ({"kind": "fusion"}, "image"),
    ],
)
def test_what_a_prompt_s_own_kind_lacks_is_named_with_its_place(
    client: FlaskClient, own: dict[str, Any], field: str
) -> None:
    answer = client.post("/v1/jobs", json={"prompts": ["b", {"prompt": "a", **own}]})
    assert code_and_field(answer)[2] == f"prompts.1.{field}"


def test_a_stock_kind_still_needs_a_prompt(client: FlaskClient) -> None:
    answer = client.post("/v1/jobs", json={"prompt": "", "image": IMAGE})
    assert code_and_field(answer)[2] == "prompt"


def test_a_restoration_has_longer_to_be_in_time(client: FlaskClient) -> None:
    plain = client.post("/v1/jobs", json={"prompt": "a", "width": 128, "height": 64}).get_json()
    longer = client.post("/v1/jobs", json={"prompt": "a", "image": IMAGE, "operator": BLUR}).get_json()
    with transaction() as session:
        query = select(Request.deadline_at - Request.accepted_at).where(Request.job_id.in_([plain["id"], longer["id"]]))
        spans = session.scalars(query.order_by(Request.accepted_at)).all()
    assert spans[1] > 3 * spans[0]


def test_pictures_of_a_restoration_are_kept_as_they_were_sent(client: FlaskClient) -> None:
    client.post("/v1/jobs", json={"prompt": "", "image": SMALL, "operator": DOWN})
    sent = client.get(f"/v1/inputs/{only().source_id}")
    with Pictures.open(io.BytesIO(sent.data)) as picture:
        assert picture.size == (32, 16)
