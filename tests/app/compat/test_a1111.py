"""The web UI's API: what it is asked is answered in its words, and what would change the image is refused by name."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image as Pillow

from core.numbers import MAX_SEED
from tests.app.conftest import configured, draw, rows
from tests.app.test_compat import A1111, PNG, code, stored, worker
from tests.app.test_compat import _quick as _quick

API = "/sdapi/v1"


def txt2img(client: FlaskClient, **body: Any) -> Any:
    """Ask for an image of `a`, and have it drawn."""
    with worker():
        return client.post(A1111, json={"prompt": "a", **body})


def test_images_come_with_parameters_and_infotexts(client: FlaskClient) -> None:
    wanted = {
        "prompt": "a red apple",
        "negative_prompt": "a worm",
        "seed": 7,
        "steps": "10",
        "cfg_scale": 3,
        "batch_size": 2,
        "n_iter": 1,
        "sampler_name": "Euler a",
        "denoising_strength": 0.7,
        "enable_hr": False,
        "override_settings": {"sd_model_checkpoint": "ac-5", "sd_vae": "None"},
    }
    with worker(lambda request: draw(request, "ac-5")):
        answer = client.post(A1111, json=wanted)
    assert answer.status_code == 200, answer.text
    body = answer.get_json()
    assert all(base64.b64decode(image).startswith(PNG) for image in body["images"])
    used = body["parameters"]
    assert (used["prompt"], used["steps"], used["width"]) == ("a red apple", 10, 64)
    info = json.loads(body["info"])
    assert (info["seed"], info["all_seeds"], info["sd_model_name"]) == (7, [7, 8], "ac-5")
    assert [told["level"] for told in info["argus"]] == ["ac-5", "ac-5"]
    assert info["argus_ignored"] == ["denoising_strength", "enable_hr", "sampler_name"]
    prompt, negative, parameters = info["infotexts"][1].splitlines()
    assert (prompt, negative) == ("a red apple", "Negative prompt: a worm")
    assert parameters.startswith("Steps: 15, Sampler: Automatic, CFG scale: 3, Seed: 8, Size: 64x64, Model: large, ")
    assert [(row.level_asked, row.guidance, row.seed) for row in stored()] == [("ac-5", 3.0, 7), ("ac-5", 3.0, 8)]


def test_info_has_every_part_that_the_web_ui_writes(client: FlaskClient) -> None:
    """Names: modules/processing.py of AUTOMATIC1111/stable-diffusion-webui, `Processed.js`."""
    info = json.loads(txt2img(client, n_iter=2, subseed=5).get_json()["info"])
    parts = (
        "prompt all_prompts negative_prompt all_negative_prompts seed all_seeds subseed all_subseeds subseed_strength "
        "width height sampler_name cfg_scale steps batch_size restore_faces face_restoration_model sd_model_name "
        "sd_model_hash sd_vae_name sd_vae_hash seed_resize_from_w seed_resize_from_h denoising_strength "
        "extra_generation_params index_of_first_image infotexts styles job_timestamp clip_skip "
        "is_using_inpainting_conditioning version"
    )
    assert set(parts.split()) <= set(info)
    assert info["all_subseeds"] == [5, 6]
    assert (len(info["infotexts"]), len(info["all_seeds"]), info["batch_size"]) == (2, 2, 1)
    assert info["all_seeds"][1] == info["all_seeds"][0] + 1
    assert len(info["job_timestamp"]) == 14
    assert info["version"].startswith("Argus")


def test_any_size_is_drawn_at_the_nearest_and_sent_as_asked(client: FlaskClient) -> None:
    body = txt2img(client, width=512, height=512).get_json()
    assert Pillow.open(io.BytesIO(base64.b64decode(body["images"][0]))).size == (512, 512)
    info = json.loads(body["info"])
    assert (info["width"], info["height"], info["argus_native_size"]) == (512, 512, "64x64")
    assert [(row.width, row.height) for row in stored()] == [(64, 64)]
    with configured(ARGUS_COMPAT_SIZES="refuse"):
        refused = client.post(A1111, json={"prompt": "a", "width": 512, "height": 512})
    assert (refused.status_code, code(refused)) == (422, "out_of_range")


def test_images_are_not_sent_where_they_are_not_wanted(client: FlaskClient) -> None:
    body = txt2img(client, send_images=False, save_images=True, do_not_save_grid=True).get_json()
    assert body["images"] == []
    assert len(json.loads(body["info"])["infotexts"]) == 1


@pytest.mark.parametrize(("named", "format"), [("jpg", "JPEG"), ("webp", "WEBP"), ("PNG", "PNG"), (None, "PNG")])
def test_images_are_sent_in_the_format_of_the_call(client: FlaskClient, named: str | None, format: str) -> None:
    answer = txt2img(client, override_settings={"samples_format": named}).get_json()
    assert Pillow.open(io.BytesIO(base64.b64decode(answer["images"][0]))).format == format
    assert json.loads(answer["info"])["argus_ignored"] == []


def test_a_format_that_there_is_not_is_refused(client: FlaskClient) -> None:
    answer = client.post(A1111, json={"prompt": "a", "override_settings": {"samples_format": "tiff"}})
    assert answer.status_code == 400
    assert "samples_format" in answer.text


def test_aliases_of_models_are_checkpoints_too(client: FlaskClient) -> None:
    with configured(ARGUS_MODEL_ALIASES="dreamshaper*=fs-10"):
        txt2img(client, override_settings={"sd_model_checkpoint": "dreamshaper_8.safetensors [879db523c3]"})
    assert [row.level_asked for row in stored()] == ["fs-10"]


def test_wide_seeds_are_drawn_and_told_to_the_last_digit(client: FlaskClient) -> None:
    wide = {"seed": 6687881544318117707, "subseed": MAX_SEED, "override_settings": {"img2img_x": [2**60]}}
    body = txt2img(client, **wide, batch_size=2).get_json()
    info = json.loads(body["info"])
    assert not _wide_numbers(body) + _wide_numbers(info)
    assert info["all_seeds"] == ["6687881544318117707", "6687881544318117708"]
    assert info["all_subseeds"] == [str(MAX_SEED)] * 2
    assert (info["seed"], body["parameters"]["seed"]) == ("6687881544318117707",) * 2


def _wide_numbers(value: Any) -> list[int]:
    """Whole numbers in JSON that a reader in JavaScript would round."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [number for one in inner for number in _wide_numbers(one)]
    return [value] if isinstance(value, int) and abs(value) > 2**53 - 1 else []


OFF: list[dict[str, Any]] = [
    {"enable_hr": False, "hr_scale": 2, "hr_upscaler": "Latent", "firstphase_width": 0},
    {"enable_hr": "false", "tiling": 0, "restore_faces": None},
    {"subseed_strength": 0.0, "subseed": 9, "seed_resize_from_h": 0, "seed_resize_from_w": -1},
    {"styles": [], "script_name": "None", "script_args": [], "refiner_checkpoint": "", "infotext": ""},
    {"styles": [""], "script_name": "", "refiner_checkpoint": "None"},
    {"s_churn": 0, "s_tmin": 0, "s_tmax": None, "s_noise": 1, "eta": 1.0, "s_min_uncond": 0, "clip_skip": 1},
    {"alwayson_scripts": {}, "override_settings": {}, "override_settings_restore_afterwards": True},
    {"alwayson_scripts": {"ADetailer": {"args": [False]}, "ControlNet": {"args": []}, "x": {}}},
    {"alwayson_scripts": {"ControlNet": {"args": [{"enabled": False, "model": "canny"}]}}},
    {"alwayson_scripts": {"reactor": {"args": ["data:image/png;base64,", False, "0"]}}},
    {"alwayson_scripts": {"soft inpainting": {"args": {"enabled": False, "schedule": 1}}}},
    {"override_settings": {"CLIP_stop_at_last_layers": "1", "sd_vae": "Automatic", "samples_save": True}},
    {"override_settings": {"sd_vae": None, "enable_emphasis": True, "use_old_karras_scheduler_sigmas": 0}},
    {"override_settings": {"forge_additional_modules": [], "eta_noise_seed_delta": 0, "live_previews_enable": True}},
    {"batch_size": None, "n_iter": None, "seed": None, "steps": None, "send_images": None, "styles": None},
    {"sampler_index": "Euler", "scheduler": "Karras", "sampler_name": "DPM++ 2M", "url": "http://x", "auth": "a:b"},
]


@pytest.mark.parametrize("body", OFF, ids=[str(body)[:50] for body in OFF])
def test_what_is_off_is_taken(client: FlaskClient, body: dict[str, Any]) -> None:
    answer = txt2img(client, **body)
    assert answer.status_code == 200, answer.text
    assert "a:b" not in answer.text


def test_how_a_checkpoint_is_run_is_the_levels_own_and_said_to_be_ignored(client: FlaskClient) -> None:
    settings = {"CLIP_stop_at_last_layers": 2, "sd_vae": "anime.pt", "use_old_karras_scheduler_sigmas": True, "new": 1}
    sent = {"s_churn": 0.3, "clip_skip": 2, "scheduler": "Karras", "override_settings": {**settings, "eta_ddim": 0}}
    answer = txt2img(client, **sent)
    assert answer.status_code == 200, answer.text
    named = {*(f"override_settings.{name}" for name in settings), "s_churn", "clip_skip", "scheduler"}
    assert set(json.loads(answer.get_json()["info"])["argus_ignored"]) == named


WRONG: list[tuple[dict[str, Any], int, str, str]] = [
    ({"prompt": ""}, 422, "bad_prompt", "prompt"),
    ({"prompt": None}, 422, "bad_prompt", "prompt"),
    ({"batch_size": True}, 400, "bad_input", "batch_size"),
    ({"width": 5000, "height": 512}, 422, "out_of_range", "width"),
    ({"steps": 51}, 422, "out_of_range", "steps"),
    ({"steps": "many"}, 400, "bad_input", "steps"),
    ({"steps": True}, 400, "bad_input", "steps"),
    ({"cfg_scale": 30}, 422, "out_of_range", "cfg_scale"),
    ({"seed": -2}, 422, "out_of_range", "seed"),
    ({"seed": 2**63}, 422, "out_of_range", "seed"),
    ({"n_iter": 65}, 422, "out_of_range", "n_iter"),
    ({"n_iter": 33, "batch_size": 2}, 422, "out_of_range", "n_iter"),
    ({"enable_hr": True}, 400, "bad_input", "enable_hr"),
    ({"restore_faces": "true"}, 400, "bad_input", "restore_faces"),
    ({"tiling": 1}, 400, "bad_input", "tiling"),
    ({"styles": ["noir"]}, 400, "bad_input", "styles"),
    ({"script_name": "X/Y/Z plot"}, 400, "bad_input", "script_name"),
    ({"subseed_strength": 0.5}, 400, "bad_input", "subseed_strength"),
    ({"seed_resize_from_h": 512}, 400, "bad_input", "seed_resize_from_h"),
    ({"refiner_checkpoint": "sdxl"}, 400, "bad_input", "refiner_checkpoint"),
    ({"infotext": "a cat\nSteps: 1"}, 400, "bad_input", "infotext"),
    ({"alwayson_scripts": {"ControlNet": {"args": [{"enabled": True}]}}}, 400, "bad_input", "alwayson_scripts"),
    ({"alwayson_scripts": {"ADetailer": {"args": [True, {}]}}}, 400, "bad_input", "alwayson_scripts"),
    ({"alwayson_scripts": {"roop": {"args": ["img", True]}}}, 400, "bad_input", "alwayson_scripts"),
    ({"alwayson_scripts": {"Dynamic Thresholding": {"args": [7]}}}, 400, "bad_input", "alwayson_scripts"),
    ({"override_settings": {"sd_lora": "fox"}}, 400, "bad_input", "override_settings.sd_lora"),
    (
        {"override_settings": {"sd_model_checkpoint": 7}},
        400,
        "bad_input",
        "override_settings.sd_model_checkpoint",
    ),
    (
        {"override_settings": {"sd_model_checkpoint": "sd15 [6ce0161689]"}},
        422,
        "unknown_level",
        "override_settings.sd_model_checkpoint",
    ),
]


@pytest.mark.parametrize(("body", "status", "stable", "field"), WRONG, ids=[str(wrong[0])[:60] for wrong in WRONG])
def test_what_cannot_be_drawn_is_refused_with_the_field_in_the_web_ui_s_words(
    client: FlaskClient, body: dict[str, Any], status: int, stable: str, field: str
) -> None:
    answer = client.post(A1111, json={"prompt": "a", **body}, headers={"Accept": "*/*"})
    assert (answer.status_code, code(answer)) == (status, stable)
    assert answer.get_json()["errors"].startswith(f"{field}: ")
    assert "Input should" not in answer.text
    assert rows() == (0, 0)


@pytest.mark.parametrize("images", [{"n_iter": 10**4000, "batch_size": 10**4000}, {"n_iter": 0}, {"batch_size": -1}])
def test_no_number_of_images_breaks_it(client: FlaskClient, images: dict[str, int]) -> None:
    answer = client.post(A1111, json={"prompt": "a", **images})
    assert (answer.status_code, code(answer)) == (422, "out_of_range")


@pytest.mark.parametrize("name", ["ac-5", "ac-5 [6ce0161689]", "ac-5.safetensors [6ce0161689]", "AC-5", " ac-5.ckpt"])
def test_checkpoints_are_known_by_name_title_and_file_name(client: FlaskClient, name: str) -> None:
    assert txt2img(client, override_settings={"sd_model_checkpoint": name}).status_code == 200
    assert [row.level_asked for row in stored()] == ["ac-5"]


@pytest.mark.parametrize("name", ["paper", "auto", "", None, "Automatic", "None"])
def test_the_family_and_no_name_leave_the_level_to_argus(client: FlaskClient, name: str | None) -> None:
    assert txt2img(client, override_settings={"sd_model_checkpoint": name}).status_code == 200
    assert [row.level_asked for row in stored()] == ["auto"]


def test_a_checkpoint_that_a_client_chose_holds_for_its_calls_and_for_nobody_else_s(client: FlaskClient) -> None:
    options = client.get(f"{API}/options").get_json()
    assert options["sd_model_checkpoint"] == "paper"
    chosen = client.post(f"{API}/options", json={**options, "sd_model_checkpoint": "fs-10"})
    assert chosen.status_code == 200, chosen.text
    assert chosen.get_json() == client.get(f"{API}/options").get_json() == {**options, "sd_model_checkpoint": "fs-10"}
    other = {"REMOTE_ADDR": "192.0.2.7"}
    assert client.get(f"{API}/options", environ_overrides=other).get_json() == options
    txt2img(client)
    txt2img(client, override_settings={"sd_model_checkpoint": "ac-5"})
    with worker():
        client.post(A1111, json={"prompt": "a"}, environ_overrides=other)
    client.post(f"{API}/options", json={"sd_model_checkpoint": "paper"})
    txt2img(client)
    assert sorted(row.level_asked for row in stored()) == ["ac-5", "auto", "auto", "fs-10"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"sd_model_checkpoint": "sd15"}, 422, "sd_model_checkpoint"),
        ({"CLIP_stop_at_last_layers": 2}, 400, "CLIP_stop_at_last_layers"),
        ({"sd_vae": "anime.pt"}, 400, "sd_vae"),
        ({"samples_format": "jpg"}, 400, "samples_format"),
        ({"randn_source": "NV"}, 400, "randn_source"),
    ],
)
def test_options_that_would_have_no_effect_are_refused_by_name(
    client: FlaskClient, body: dict[str, Any], status: int, field: str
) -> None:
    answer = client.post(f"{API}/options", json=body)
    assert answer.status_code == status
    assert answer.get_json()["errors"].startswith(f"{field}: ")


def test_lists_are_true_or_empty(client: FlaskClient) -> None:
    def read(address: str) -> Any:
        answer = client.get(f"{API}/{address}")
        assert answer.status_code == 200, address
        return answer.get_json()

    assert [model["title"] for model in read("sd-models")] == ["paper", "exact", "ac-5", "fs-10"]
    assert [read(names)[0]["name"] for names in ("samplers", "schedulers", "upscalers")] == [
        "Automatic",
        "automatic",
        "None",
    ]
    empty = (
        "loras prompt-styles sd-vae sd-modules face-restorers hypernetworks realesrgan-models script-info extensions"
    )
    assert [read(address) for address in empty.split()] == [[]] * len(empty.split())
    assert read("latent-upscale-modes") == []
    assert read("scripts") == {"txt2img": [], "img2img": []}
    assert read("embeddings") == {"loaded": {}, "skipped": {}}
    assert read("memory")["ram"]["total"] > 1e6
    assert read("cmd-flags")["api"] is True
    for address in ["refresh-checkpoints", "refresh-vae", "refresh-loras", "unload-checkpoint", "reload-checkpoint"]:
        assert client.post(f"{API}/{address}").get_json() == {}


@pytest.mark.parametrize("address", ["extra-single-image", "extra-batch-images", "interrogate", "train/embedding"])
def test_what_needs_an_image_is_refused_in_words_that_clients_show(client: FlaskClient, address: str) -> None:
    answer = client.post(f"{API}/{address}", json={"init_images": ["aaaa"], "prompt": "a"})
    assert (answer.status_code, code(answer)) == (400, "text_to_image_only")
    assert "This Argus does not" in answer.get_json()["detail"]


def test_addresses_that_there_are_not_are_told_in_the_web_ui_s_words(client: FlaskClient) -> None:
    for answer in (client.get(f"{API}/nothing"), client.get(A1111), client.post(f"{API}/server-kill")):
        assert answer.status_code in (404, 405)
        assert set(answer.get_json()) == {"error", "detail", "body", "errors"}


def test_what_an_image_says_is_read_from_every_format(client: FlaskClient) -> None:
    image = txt2img(client, seed=5).get_json()["images"][0]
    picture = Pillow.open(io.BytesIO(base64.b64decode(image)))
    text = "a cat, 一只猫\nNegative prompt: dog\nSteps: 4, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 64x32"
    for kind, mark in (("PNG", "data:image/png;base64,"), ("JPEG", ""), ("WEBP", "")):
        asked = mark + base64.b64encode(_file(picture, kind, text)).decode()
        found = client.post(f"{API}/png-info", json={"image": asked}).get_json()
        assert found["info"] == text
        assert (found["parameters"]["Prompt"], found["parameters"]["Size-1"]) == ("a cat, 一只猫", "64")
    plain = client.post(f"{API}/png-info", json={"image": image}).get_json()
    assert (plain["info"], plain["items"]["prompt"]) == ("", "?")


def _file(picture: Pillow.Image, kind: str, text: str) -> bytes:
    from app.rendering import _exif
    from core.images import png_info

    sink = io.BytesIO()
    more: dict[str, Any] = (
        {"pnginfo": png_info({"parameters": text})} if kind == "PNG" else {"exif": _exif({"parameters": text})}
    )
    picture.save(sink, kind, **more)
    return sink.getvalue()


@pytest.mark.parametrize("image", ["", "not base64!", base64.b64encode(b"no image").decode(), "data:image/png;base64,"])
def test_what_is_no_image_says_nothing(client: FlaskClient, image: str) -> None:
    answer = client.post(f"{API}/png-info", json={"image": image})
    assert (answer.status_code, code(answer)) == (400, "bad_input")
    assert answer.get_json()["errors"].startswith("image: ")


def test_probes_beside_the_api_are_answered_with_json(client: FlaskClient) -> None:
    for address in ("/internal/ping", "/internal/sysinfo", "/login_check", "/queue/status"):
        answer = client.get(address, headers={"Authorization": "Basic dTpw"})
        assert (answer.status_code, answer.mimetype) == (200, "application/json"), address
    assert client.get("/queue/status").get_json()["queue_size"] == 0
    assert client.get("/controlnet/version", headers={"Accept": "*/*"}).is_json
