"""Clients of OpenAI and AUTOMATIC1111, through real workers."""

import base64
import io
import json

from PIL import Image as Pillow

from core.families import load_family
from core.infotext import read_infotext
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
