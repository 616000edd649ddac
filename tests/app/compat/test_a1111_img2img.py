"""`img2img` of the web UI's API."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image as Pictures

from tests.app.compat.test_openai_edits import picture_of
from tests.app.conftest import rows
from tests.app.test_compat import _quick as _quick
from tests.app.test_compat import code, stored, worker
from tests.core.test_pictures import halves, saved

ADDRESS = "/sdapi/v1/img2img"
IMAGE, MASK, NARROW, BLACK = (
    b64encode(saved(picture)).decode()
    for picture in (
        halves("RGB", "red", "blue", (128, 64)),
        halves("L", 0, 255, (128, 64)),
        halves("L", 0, 255),
        Pictures.new("L", (128, 64)),
    )
)
USUAL = {  # as webuiapi 0.9.17 sends, what is left at its defaults
    **{"resize_mode": 0, "denoising_strength": 0.75, "image_cfg_scale": None, "mask_blur": 4, "inpainting_fill": 0},
    **{"inpaint_full_res": True, "inpaint_full_res_padding": 0, "inpainting_mask_invert": 0, "styles": []},
    **{"initial_noise_multiplier": 1, "include_init_images": False, "alwayson_scripts": {}, "script_name": None},
    **{"seed": 5, "sampler_name": "Euler a", "batch_size": 1, "n_iter": 1, "restore_faces": False, "tiling": False},
}


def img2img(client: FlaskClient, **body: Any) -> Any:
    with worker():
        return client.post(ADDRESS, json={"prompt": "a pear", **body})


def test_the_usual_call_draws_from_its_image(client: FlaskClient) -> None:
    answer = img2img(client, **USUAL, init_images=[f"data:image/png;base64,{IMAGE}"], width=128, height=64)
    assert answer.status_code == 200, answer.text
    (row,) = stored()
    assert (row.strength, row.mask_id, row.width, row.height) == (0.75, None, 128, 64)
    info = json.loads(answer.get_json()["info"])
    assert info["denoising_strength"] == 0.75
    assert "init_images" not in info["argus_ignored"]
    assert {"mask_blur", "inpaint_full_res", "sampler_name"} <= set(info["argus_ignored"])


def test_no_strength_is_the_least_there_is(client: FlaskClient) -> None:
    assert img2img(client, init_images=[IMAGE], denoising_strength=0).status_code == 200
    assert stored()[0].strength == pytest.approx(0.01)


@pytest.mark.parametrize(("invert", "drawn"), [(0, (0, 255)), (1, (255, 0))])
def test_what_is_white_in_the_mask_is_drawn_anew_or_what_is_black(
    client: FlaskClient, invert: int, drawn: tuple[int, int]
) -> None:
    body = {"init_images": [IMAGE], "mask": MASK, "inpainting_mask_invert": invert, "denoising_strength": 0.5}
    assert img2img(client, **body).status_code == 200
    (row,) = stored()
    mask = picture_of(row.mask_id).convert("L")
    assert (mask.getpixel((8, 8)), mask.getpixel((120, 8))) == drawn
    assert (row.strength, row.width) == (0.5, 128)


@pytest.mark.parametrize(
    ("body", "kind", "field"),
    [
        ({}, "bad_input", "init_images"),
        ({"init_images": []}, "bad_input", "init_images"),
        ({"init_images": [IMAGE, IMAGE]}, "bad_input", "init_images"),
        ({"init_images": ["aaaa"]}, "bad_picture", "init_images"),
        ({"init_images": ["ä"]}, "bad_picture", "init_images"),
        ({"init_images": [IMAGE], "mask": NARROW}, "bad_picture", "mask"),
        ({"init_images": [IMAGE], "mask": BLACK}, "bad_picture", "mask"),
        ({"init_images": [IMAGE], "denoising_strength": 1.5}, "out_of_range", "denoising_strength"),
        ({"init_images": [IMAGE], "denoising_strength": -0.1}, "out_of_range", "denoising_strength"),
        ({"init_images": [IMAGE], "script_name": "outpainting mk2"}, "bad_input", "script_name"),
        ({"init_images": [IMAGE], "alwayson_scripts": {"a script": {"args": [1]}}}, "bad_input", "alwayson_scripts"),
    ],
)
def test_what_cannot_be_is_refused_in_words_that_clients_show(
    client: FlaskClient, body: dict[str, Any], kind: str, field: str
) -> None:
    answer = img2img(client, **body)
    assert answer.status_code in (400, 422)
    assert code(answer) == kind
    assert field in answer.text
    assert rows() == (0, 0)
