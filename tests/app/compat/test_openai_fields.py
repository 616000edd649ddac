"""Fields that OpenAI's types do not have, values that cannot be, and what its client raises."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from flask.testing import FlaskClient

from app import waiting
from tests.app.compat.openai_client import openai_client
from tests.app.conftest import rows
from tests.app.test_compat import fail, worker

GENERATIONS = "/v1/images/generations"

HARMLESS: dict[str, Any] = {
    "metadata": {"user": "u1"},
    "timeout": 600,
    "drop_params": True,
    "user": "u1",
    "style": "vivid",
    "moderation": "low",
    "safety_identifier": "s",
    "complexity": "high",
    "extra_headers": {},
    "litellm_call_id": "1",
    "cache_control": {"ttl": 1},
    "client_reference": "x",
    "prompt_cache_key": "k",
    "tags": ["a"],
    "store": True,
    "input_fidelity": "high",
    "something_new": 5,
    "foo": {"bar": [1]},
}


def test_fields_that_cannot_change_the_image_are_taken_and_named(client: FlaskClient) -> None:
    with worker():
        answer = client.post(GENERATIONS, json={"prompt": "a", **HARMLESS, "unset": None, "blank": ""})
    body = answer.get_json()
    assert answer.status_code == 200, body
    assert body["argus"]["ignored"] == sorted(HARMLESS)
    assert body["data"][0]["argus"]["ignored"] == sorted(HARMLESS)


CHANGING: list[dict[str, Any]] = [
    {"image": "data:image/png;base64,AAAA"},
    {"images": ["https://elsewhere.example/a.png"]},
    {"image_url": "https://elsewhere.example/a.png"},
    {"inputImage": "AAAA"},
    {"init_image": "AAAA"},
    {"reference_images": ["AAAA"]},
    {"reference": "AAAA"},
    {"mask": "AAAA"},
    {"mask_image": "AAAA"},
    {"strength": 0.5},
    {"denoising_strength": 0.7},
    {"controlnet": {"model": "canny"}},
    {"ip_adapter": {"weight": 1}},
    {"loras": [{"path": "a", "scale": 1}]},
    {"lora_weights": "a"},
    {"embeddings": ["a"]},
    {"vae": "a"},
    {"refiner": "a"},
    {"sampler": "Euler a"},
    {"sampler_name": "Euler a"},
    {"scheduler": "karras"},
    {"clip_skip": 2},
    {"true_cfg_scale": 4},
    {"subseed": 3},
    {"seeds": [1, 2]},
    {"tiling": True},
    {"width": 512},
    {"width": 512, "height": 512, "size": "256x256"},
    {"level": "exact"},
    {"aspect_ratio": "16:9"},
    {"aspectRatio": "16:9"},
    {"resolution": "2k"},
    {"prompts": ["a", "b"]},
    {"prompt_2": "b"},
    {"enhance_prompt": True},
    {"style_preset": "anime"},
    {"styles": ["noir"]},
    {"enable_hr": True, "hr_scale": 2},
    {"upscale": 2},
    {"transparent_background": True},
    {"watermark": True},
    {"frame_count": 4},
    {"svg": {"model": "a"}},
]


@pytest.mark.parametrize("more", CHANGING, ids=lambda more: "+".join(more))
def test_fields_that_would_make_another_image_are_refused_by_name(client: FlaskClient, more: dict[str, Any]) -> None:
    answer = client.post(GENERATIONS, json={"prompt": "a", **more})
    error = answer.get_json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    assert set(error["param"].split(" x ")) <= set(more)
    assert error["param"] in error["message"]
    assert rows() == (0, 0)


@pytest.mark.parametrize("off", [None, False, 0, "", [], {}, "none", "disabled"])
def test_what_would_make_another_image_is_taken_while_it_is_off(client: FlaskClient, off: Any) -> None:
    with worker():
        answer = client.post(GENERATIONS, json={"prompt": "a", "image": off, "mask": off, "loras": off})
    assert answer.status_code == 200, answer.text


def test_the_size_by_its_name_at_other_servers_is_the_size(client: FlaskClient) -> None:
    """As Cherry Studio and SiliconFlow's clients send it, with a batch and steps by their names."""
    body = {"prompt": "a", "image_size": "1024x512", "batch_size": 1, "num_inference_steps": 10, "guidance_scale": 7.5}
    with worker():
        answer = client.post(GENERATIONS, json=body)
    assert (answer.status_code, answer.get_json()["size"]) == (200, "1024x512"), answer.text
    refused = client.post(GENERATIONS, json={"prompt": "a", "image_size": "square_hd"})
    assert (refused.status_code, refused.get_json()["error"]["param"]) == (400, "size")


@pytest.mark.parametrize(("wrong", "meant"), [("sizes", "size"), ("promt", "prompt"), ("negativePrompt", "negative")])
def test_a_misspelt_option_is_told_which_was_meant(client: FlaskClient, wrong: str, meant: str) -> None:
    answer = client.post(GENERATIONS, json={"prompt": "a", wrong: "64x64"})
    assert (answer.status_code, answer.get_json()["error"]["param"]) == (400, wrong)
    assert meant in answer.get_json()["error"]["message"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"prompt": ""}, "prompt"),
    ({"n": 0}, "n"),
    ({"n": 11}, "n"),
    ({"n": True}, "n"),
    ({"size": "large"}, "size"),
    ({"size": "0x0"}, "size"),
    ({"size": "99999x99999"}, "size"),
    ({"size": 512}, "size"),
    ({"quality": "best"}, "quality"),
    ({"response_format": "file"}, "response_format"),
    ({"background": "transparent"}, "background"),
    ({"output_format": "gif"}, "output_format"),
    ({"output_format": "svg"}, "output_format"),
    ({"output_compression": 101}, "output_compression"),
    ({"partial_images": 4}, "partial_images"),
    ({"seed": -2}, "seed"),
    ({"steps": 51}, "steps"),
    ({"guidance": "NaN"}, "guidance"),
    ({"min_quality": 1.1}, "min_quality"),
]


@pytest.mark.parametrize(("more", "param"), WRONG, ids=lambda more: str(more)[:40])
def test_the_client_raises_bad_request_with_the_parameter(client: FlaskClient, more: Any, param: str) -> None:
    body = {"prompt": "a", **more}
    with pytest.raises(openai.BadRequestError) as told:
        openai_client(client).images.generate(prompt=body.pop("prompt"), extra_body=body)
    assert (told.value.param, told.value.type) == (param, "invalid_request_error")
    assert told.value.code in ("bad_input", "bad_prompt", "out_of_range")
    assert rows() == (0, 0)


def test_the_client_raises_what_its_classes_are_for(client: FlaskClient) -> None:
    api = openai_client(client)
    with pytest.raises(openai.BadRequestError, match="is no picture"):
        api.images.edit(image=("a.png", b"\x89PNG", "image/png"), prompt="a")
    with worker(fail), pytest.raises(openai.InternalServerError) as failed:
        api.images.generate(prompt="a")
    assert (failed.value.code, failed.value.response.headers["x-should-retry"]) == ("not_a_number", "false")


def test_a_full_house_is_a_rate_limit_that_says_when_to_come_back(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "PLACES_TO_WAIT", waiting.Places(1, 1))
    leave = waiting.PLACES_TO_WAIT.take("127.0.0.1", 7.0, "")
    with pytest.raises(openai.RateLimitError) as told:
        openai_client(client).images.generate(prompt="a")
    leave()
    assert told.value.response.headers["retry-after"] == "7"
    assert told.value.request_id


@pytest.mark.parametrize("model", ["exact", "gpt-image-1"])
def test_the_documents_s_examples_are_accepted(client: FlaskClient, model: str) -> None:
    document = client.get("/openapi.json").get_json()
    body = document["paths"]["/v1/images/generations"]["post"]["requestBody"]["content"]["application/json"]
    with worker():
        for name, example in body["examples"].items():
            answer = client.post(GENERATIONS, json={"model": model, **example["value"]})
            assert answer.status_code == 200, (name, answer.text)
