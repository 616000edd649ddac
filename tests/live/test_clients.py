"""Clients of OpenAI and AUTOMATIC1111, through real workers."""

import base64
import io
import json

import numpy as np
from PIL import Image as Pillow

from core.families import load_family
from core.infotext import read_infotext
from tests.core.test_pictures import halves, saved
from tests.live.conftest import Stack


def test_what_other_apis_ask_for_is_drawn_by_real_workers(stack: Stack):
    from app import create_app

    client, family = create_app().test_client(), load_family(str(stack.family_file))
    wanted = {"prompt": "2 red foxes", "n": 2, "seed": 3, "model": family.id}
    answer = client.post("/v1/images/generations", json=wanted)
    assert answer.status_code == 200, answer.text
    for item, seed in zip(answer.get_json()["data"], ("3", "4"), strict=True):
        png = Pillow.open(io.BytesIO(client.get(item["url"]).data))
        assert (png.text["seed"], png.text["level"], png.text["model"]) == (
            seed,
            item["argus"]["level"],
            item["argus"]["model"],
        )
        said = read_infotext(png.text["parameters"])
        assert (said["Seed"], said["Steps"], said["Sampler"]) == (seed, png.text["steps"], "Euler")

    asked = {"prompt": "2 red foxes", "seed": 3, "override_settings": {"sd_model_checkpoint": "exact"}}
    answer = client.post("/sdapi/v1/txt2img", json=asked)
    assert answer.status_code == 200, answer.text
    body = answer.get_json()
    png = Pillow.open(io.BytesIO(base64.b64decode(body["images"][0])))
    assert (png.size, png.text["seed"], png.text["level"]) == ((32, 32), "3", "exact")
    assert "Argus level: exact" in json.loads(body["info"])["infotexts"][0]


def test_seeds_of_63_bits_are_drawn_and_told_to_the_last_digit(stack: Stack):
    from app import create_app

    client = create_app().test_client()
    wide = [6687881544318117707, 2**63 - 1]
    pictures = []
    for seed in (*wide, wide[0], wide[0] % 2**32):
        asked = {"prompt": "2 red foxes", "seed": seed, "override_settings": {"sd_model_checkpoint": "exact"}}
        body = client.post("/sdapi/v1/txt2img", json=asked).get_json()
        png = Pillow.open(io.BytesIO(base64.b64decode(body["images"][0])))
        assert (png.text["seed"], read_infotext(png.text["parameters"])["Seed"]) == (str(seed), str(seed))
        pictures.append(png.tobytes())
    first, other, again, low_bits = pictures
    assert first == again
    assert len({first, other, low_bits}) == 3


def test_an_image_is_begun_with_by_real_workers_and_what_its_mask_keeps_stays(stack: Stack):
    from app import create_app

    client = create_app().test_client()
    image, mask = halves("RGB", "red", "blue", (32, 32)), halves("L", 0, 255, (32, 32))
    sent = {"init_images": [_base64(image)], "prompt": "2 red foxes", "seed": 3, "steps": 10}
    sent |= {"override_settings": {"sd_model_checkpoint": "exact"}}
    drawn = {}
    for strength in (0.1, 0.9):
        body = client.post("/sdapi/v1/img2img", json={**sent, "denoising_strength": strength}).get_json()
        assert "images" in body, body
        drawn[strength] = Pillow.open(io.BytesIO(base64.b64decode(body["images"][0])))
        assert (drawn[strength].text["strength"], drawn[strength].text["steps"]) == (
            str(strength),
            f"{10 * strength:g}",
        )
    assert drawn[0.1].tobytes() != drawn[0.9].tobytes()
    body = client.post("/sdapi/v1/img2img", json={**sent, "mask": _base64(mask)}).get_json()
    inpainted = np.asarray(Pillow.open(io.BytesIO(base64.b64decode(body["images"][0]))))
    assert (inpainted[:, :16] == np.asarray(image)[:, :16]).all()
    assert (inpainted[:, 20:] != np.asarray(image)[:, 20:]).any()
    form = {"prompt": "2 red foxes", "image": (io.BytesIO(saved(image)), "a.png"), "n": "2"}
    edited = client.post("/v1/images/edits", data=form).get_json()
    assert len({item["b64_json"] for item in edited["data"]}) == 2


def _base64(picture: Pillow.Image) -> str:
    return base64.b64encode(saved(picture)).decode()
