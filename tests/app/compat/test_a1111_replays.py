"""What front-ends of the web UI send from their start to their first image, as their sources have it.

Each is a sequence of calls: method, address, body. A front-end works when all are answered as it needs them.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.app.test_compat import PNG, worker
from tests.app.test_compat import _quick as _quick

AUTH = {"Authorization": "Basic c29tZWJvZHk6c29tZXRoaW5n"}
API = "/sdapi/v1"


def get(client: FlaskClient, address: str, **headers: str) -> Any:
    answer = client.get(address, headers={"Accept": "*/*", **headers})
    assert answer.status_code == 200, (address, answer.text)
    return answer.get_json()


def drawn(client: FlaskClient, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    with worker():
        answer = client.post(f"{API}/txt2img", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.get_json()
    assert base64.b64decode(told["images"][0]).startswith(PNG)
    return told


def test_open_webui(client: FlaskClient) -> None:
    """open-webui/open-webui, backend/open_webui/routers/images.py: verify_url, get_models, set_image_model (it sends
    back all options with one changed), image_generations with the engine `automatic1111`."""
    get(client, f"{API}/options", **AUTH)
    models = [{"id": model["title"], "name": model["model_name"]} for model in get(client, f"{API}/sd-models", **AUTH)]
    options = get(client, f"{API}/options", **AUTH)
    options["sd_model_checkpoint"] = models[1]["id"]
    assert client.post(f"{API}/options", json=options, headers=AUTH).status_code == 200
    assert get(client, f"{API}/options", **AUTH)["sd_model_checkpoint"] == "exact"
    body = {"prompt": "a red apple", "batch_size": 1, "width": 512, "height": 512, "steps": 50, "negative_prompt": ""}
    told = drawn(client, body, **AUTH)
    assert '"sd_model_name": "exact"' in told["info"]


def test_open_webui_with_parameters(client: FlaskClient) -> None:
    """The same with what its settings offer (`AUTOMATIC1111_PARAMS`): sampler, scheduler, cfg_scale."""
    body = {"prompt": "a", "batch_size": 2, "width": 512, "height": 768, "sampler_name": "Euler a", "cfg_scale": 7.0}
    drawn(client, {**body, "scheduler": "karras"}, **AUTH)


SILLYTAVERN: dict[str, Any] = {  # generateAutoImage
    "url": "http://localhost:8080",
    "auth": "somebody:something",
    "prompt": "a red apple",
    "negative_prompt": "",
    "sampler_name": "DDIM",
    "scheduler": "normal",
    "steps": 20,
    "cfg_scale": 7,
    "width": 512,
    "height": 512,
    "restore_faces": False,
    "enable_hr": False,
    "hr_upscaler": "Latent",
    "hr_scale": 1,
    "hr_additional_modules": [],
    "denoising_strength": 0.7,
    "hr_second_pass_steps": 0,
    "seed": -1,
    "override_settings": {"CLIP_stop_at_last_layers": 1, "sd_vae": "Automatic", "forge_additional_modules": []},
    "override_settings_restore_afterwards": True,
    "clip_skip": 1,
    "save_images": True,
    "send_images": True,
    "do_not_save_grid": False,
    "do_not_save_samples": False,
}


def test_sillytavern(client: FlaskClient) -> None:
    """SillyTavern/SillyTavern, src/endpoints/stable-diffusion.js (/ping, /upscalers, /vaes, /samplers, /schedulers,
    /models, /get-model, /set-model, /generate) and public/scripts/extensions/stable-diffusion/index.js
    (generateAutoImage). Its body holds its own settings, `url` and `auth` among them."""
    assert "forge_preset" not in get(client, f"{API}/options", **AUTH)
    upscalers = [one["name"] for one in get(client, f"{API}/upscalers", **AUTH)]
    latent = [one["name"] for one in get(client, f"{API}/latent-upscale-modes", **AUTH)]
    assert [*upscalers[:1], *latent, *upscalers[1:]] == ["None"]
    assert [get(client, f"{API}/{address}", **AUTH) for address in ("sd-vae", "sd-modules")] == [[], []]
    assert [one["name"] for one in get(client, f"{API}/samplers", **AUTH)]
    assert [one["name"] for one in get(client, f"{API}/schedulers", **AUTH)]
    models = [one["title"] for one in get(client, f"{API}/sd-models", **AUTH)]
    assert get(client, f"{API}/options", **AUTH)["sd_model_checkpoint"] in models
    assert client.post(f"{API}/options", json={"sd_model_checkpoint": models[-1]}, headers=AUTH).status_code == 200
    progress = get(client, f"{API}/progress", **AUTH)
    assert (progress["progress"], progress["state"]["job_count"]) == (0.0, 0)
    told = drawn(client, SILLYTAVERN, **AUTH)
    assert "something" not in str({name: told[name] for name in ("parameters", "info")})
    # its backend hangs up when its own client does: a POST without body and type
    assert client.post(f"{API}/interrupt", headers=AUTH).status_code == 200


def test_the_photoshop_plugin(client: FlaskClient) -> None:
    """AbdullahAlfaraj/Auto-Photoshop-StableDiffusion-Plugin, sdapi_py_re.js (models, samplers, options, swap of the
    model, progress, interrupt) and utility/sdapi/python_replacement.js (txt2ImgRequest, then png-info of each)."""
    sent = {"Accept": "application/json", "Content-Type": "application/json"}
    models = [model["title"] for model in get(client, f"{API}/sd-models")]
    assert [sampler["name"] for sampler in get(client, f"{API}/samplers")]
    get(client, f"{API}/options")
    assert client.post(f"{API}/options", json={"sd_model_checkpoint": models[0]}, headers=sent).get_json()
    assert client.post(f"{API}/options", json={"inpainting_mask_weight": 1}, headers=sent).status_code == 200
    get(client, f"{API}/progress?skip_current_image=false")
    body = {
        "prompt": "a red apple",
        "negative_prompt": "{ugly}",
        "steps": 20,
        "n_iter": 1,
        "sampler_index": "Euler a",
        "width": 512,
        "height": 512,
        "denoising_strength": 0.7,
        "batch_size": 2,
        "cfg_scale": 7,
        "seed": -1,
        "enable_hr": False,
        "restore_faces": False,
        "uniqueDocumentId": "x",
        "use_prompt_shortcut": False,
        "alwayson_scripts": {"controlnet": {"args": []}},
    }
    for image in drawn(client, body)["images"]:
        asked = {"image": f"data:image/png;base64,{image}"}
        answer = client.post(f"{API}/png-info", json=asked, headers=sent)
        assert (answer.status_code, type(answer.get_json()["info"])) == (200, str)
    assert client.post(f"{API}/interrupt", headers=sent).get_json() == {}


def test_krita(client: FlaskClient) -> None:
    """Acly/krita-ai-diffusion while it spoke to the web UI (ai_tools/diffusion.py, commit 3439dd3): `connect` reads the
    upscalers, then the models of ControlNet, without which it does not go on; txt2img, asked how far it is until it
    is done; interrupt. Interpause/auto-sd-paint-ext (frontends/krita/krita_diff/client.py) has an extension of the web
    UI to speak to, and of this API asks for progress and interrupts alone."""
    assert get(client, f"{API}/upscalers")[0]["name"] == "None"
    missing = client.get("/controlnet/model_list")  # as of a web UI without ControlNet
    assert (missing.status_code, missing.is_json) == (404, True)
    body = {"prompt": "a red apple", "negative_prompt": "EasyNegative, worst quality", "batch_size": 2, "steps": 30}
    body |= {"cfg_scale": 7, "width": 512, "height": 768, "sampler_index": "DPM++ 2M Karras"}
    assert len(drawn(client, body)["images"]) == 2
    assert get(client, f"{API}/progress")["progress"] == 0
    assert client.post(f"{API}/interrupt", json={}).get_json() == {}
    picture = base64.b64encode(PNG).decode()
    inpaint = {
        "input_image": picture,
        "mask": picture,
        "module": "inpaint_only+lama",
        "model": "control_v11p_sd15_inpaint",
    }
    of_images = {"init_images": [picture], "denoising_strength": 0.4, **body}
    for address, sent in (
        ("txt2img", {**body, "alwayson_scripts": {"controlnet": {"args": [inpaint]}}}),
        ("img2img", {**of_images, "alwayson_scripts": {"tiled vae": {"args": [True, 1536]}}}),
        ("extra-single-image", {"resize_mode": 1, "upscaler_1": "Lanczos", "image": picture}),
    ):
        refused = client.post(f"{API}/{address}", json=sent)
        assert (refused.status_code in (400, 422), bool(refused.get_json()["detail"])) == (True, True), refused.text


def test_agnai(client: FlaskClient) -> None:
    """agnaistic/agnai, srv/image/stable-diffusion.ts: handleSDImage."""
    body = {
        "prompt": "a red apple",
        "height": 384,
        "width": 384,
        "n_iter": 1,
        "batch_size": 1,
        "negative_prompt": "disfigured, ugly, deformed",
        "sampler_name": "DPM++ 2M",
        "cfg_scale": 9,
        "seed": 123456789,
        "steps": 28,
        "restore_faces": False,
        "save_images": False,
        "send_images": True,
    }
    drawn(client, body)


def test_koboldai_lite(client: FlaskClient) -> None:
    """LostRuins/lite.koboldai.net, index.html: connect_to_a1111 (models, options), generate_a1111_image."""
    (model, *_) = [model["title"] for model in get(client, f"{API}/sd-models")]
    assert get(client, f"{API}/options")["sd_model_checkpoint"] == model
    body = {
        "prompt": "a red apple",
        "seed": 12345678,
        "sampler_name": "Euler a",
        "batch_size": 1,
        "n_iter": 1,
        "steps": 20,
        "cfg_scale": 7,
        "width": 512,
        "height": 512,
        "negative_prompt": "ugly, deformed",
        "do_not_save_samples": True,
        "do_not_save_grid": True,
        "enable_hr": False,
        "eta": 0,
        "s_churn": 0,
        "s_tmax": 0,
        "s_tmin": 0,
        "s_noise": 1,
        "override_settings": {
            "sd_model_checkpoint": model,
            "eta_noise_seed_delta": 0.0,
            "CLIP_stop_at_last_layers": 1.0,
            "ddim_discretize": "uniform",
            "img2img_fix_steps": False,
            "sd_hypernetwork": "None",
            "inpainting_mask_weight": 1.0,
            "initial_noise_multiplier": 1.0,
            "comma_padding_backtrack": 20.0,
        },
    }
    drawn(client, body)


def test_librechat(client: FlaskClient) -> None:
    """danny-avila/LibreChat, api/app/clients/tools/structured/StableDiffusion.js: `_call`. It reads width, height, seed
    and infotexts of `info`."""
    body = {"prompt": "a red apple", "negative_prompt": "ugly", "cfg_scale": 4.5, "steps": 22}
    info = json.loads(drawn(client, {**body, "width": 1024, "height": 1024})["info"])
    assert (info["width"], info["height"]) == (1024, 1024)
    assert f"Seed: {info['seed']}," in info["infotexts"][0].split("\n")[-1]


@pytest.mark.parametrize("address", ["/controlnet/version", "/controlnet/model_list", "/sdapi/v1/artists"])
def test_what_clients_look_for_and_is_not_there_is_told_as_json(client: FlaskClient, address: str) -> None:
    answer = client.get(address, headers={"Accept": "*/*"})
    assert (answer.status_code, answer.is_json) == (404, True)
