"""What front-ends and SDKs send to OpenAI's addresses, as their own source has it, and what they read of the answer.

Bodies were written down after reading the files that each test names; none of their code is here.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.app.test_compat import stored, worker
from tests.core.test_pictures import halves, saved

GENERATIONS = "/v1/images/generations"
BEARER = {"Authorization": "Bearer sk-none"}
PNG = b"\x89PNG"


@pytest.fixture(autouse=True)
def _drawn(client: FlaskClient) -> Iterator[None]:
    with worker():
        yield


def asked(client: FlaskClient, body: dict[str, Any], query: str = "", **headers: str) -> dict[str, Any]:
    """The answer to a body, from which what JavaScript leaves undefined is left out."""
    sent = {name: value for name, value in body.items() if value is not ...}
    answer = client.post(GENERATIONS + query, json=sent, headers={**BEARER, **headers})
    assert answer.status_code == 200, answer.text
    return dict(answer.get_json())


def size_of(b64: str) -> Any:
    from PIL import Image as Pictures

    return Pictures.open(io.BytesIO(base64.b64decode(b64))).size


@pytest.mark.parametrize("model", ["auto", "dall-e-2", "dall-e-3"])
@pytest.mark.parametrize(("size", "got"), [("512x512", (512, 512)), ("1024x1024", (1024, 1024)), ("auto", (64, 64))])
def test_open_webui(client: FlaskClient, model: str, size: str, got: Any) -> None:
    """open-webui/open-webui, backend/open_webui/routers/images.py, `image_generations`, engine `openai`.

    A `url` in the answer is fetched before `b64_json` is looked at, and addresses of one's own network are refused
    (`get_image_data`): a name that is to be answered with base64 must have no `url`.
    """
    body = {"model": model, "prompt": "a red apple", "n": 1, "size": size, "response_format": "b64_json"}
    (item,) = asked(client, body, **{"X-OpenWebUI-User-Name": "u", "X-OpenWebUI-User-Id": "1"})["data"]
    assert "url" not in item
    assert size_of(item["b64_json"]) == got


def test_open_webui_with_a_gpt_image_model_an_api_version_and_parameters(client: FlaskClient) -> None:
    """The same file: names that match `IMAGE_URL_RESPONSE_MODELS_REGEX_PATTERN` come without `response_format`, an API
    version as a query, and parameters that an administrator wrote down. Its address of an OpenAI engine is not trusted
    as ComfyUI's is: a link beside `b64_json` would be taken first, refused, and the image lost (decision 0083)."""
    body = {"model": "gpt-image-1", "prompt": "a red apple", "n": 2, "size": "1024x1536", "moderation": "low"}
    answer = asked(client, body, "?api-version=2025-04-01-preview")
    assert [size_of(item["b64_json"]) for item in answer["data"]] == [(1024, 1536)] * 2
    assert all("url" not in item for item in answer["data"])


def test_librechat_dalle(client: FlaskClient) -> None:
    """danny-avila/LibreChat, api/app/clients/tools/structured/DALLE3.js: by the Node client; the link is read,
    and the file named by its ending."""
    body = {"model": "dall-e-3", "quality": "standard", "style": "vivid", "size": "1024x1024"}
    (item,) = asked(client, {**body, "prompt": "a red apple", "n": 1})["data"]
    assert item["url"].partition("?")[0].endswith(".png")
    assert client.get(item["url"]).data.startswith(PNG)


@pytest.mark.parametrize("output", ["png", "webp", "jpeg"])
def test_librechat_image_tools(client: FlaskClient, output: str) -> None:
    """danny-avila/LibreChat, api/app/clients/tools/structured/OpenAIImageTools.js, `image_gen_oai`, and its edit."""
    body = {
        "model": "gpt-image-1",
        "prompt": "a red apple",
        "n": 1,
        "background": "auto",
        "output_format": output,
        "output_compression": ... if output == "png" else 100,
        "quality": "auto",
        "size": "auto",
    }
    answer = asked(client, body, **{"x-stainless-lang": "js", "x-stainless-retry-count": "0"})
    assert answer["data"][0]["b64_json"]
    assert answer["output_format"] == output
    form = {"model": "gpt-image-1", "prompt": "a", "quality": "auto", "size": "auto"}
    files = {**form, "image[]": (io.BytesIO(saved(halves("RGB", "red", "blue"))), "a.png", "image/png")}
    edited = client.post("/v1/images/edits", data=files, headers=BEARER)
    assert edited.get_json()["data"][0]["b64_json"], edited.text


@pytest.mark.parametrize(("model", "quality"), [("dall-e-2", ...), ("dall-e-3", "standard"), ("dall-e-3", "hd")])
def test_sillytavern(client: FlaskClient, model: str, quality: Any) -> None:
    """SillyTavern/SillyTavern, public/scripts/extensions/stable-diffusion/index.js, `generateOpenAiImage`; passed on by
    src/endpoints/openai.js, `/generate-image`."""
    style = "vivid" if model == "dall-e-3" else ...
    body = {"prompt": "a red apple", "model": model, "size": "1792x1024", "n": 1, "quality": quality, "style": style}
    (item,) = asked(client, {**body, "response_format": "b64_json"})["data"]
    assert size_of(item["b64_json"]) == (1792, 1024)
    assert stored()[0].level_asked == ("exact" if quality == "hd" else "auto")


def test_n8n(client: FlaskClient) -> None:
    """n8n-io/n8n, packages/@n8n/nodes-langchain/nodes/vendors/OpenAi: methods/listSearch.ts lists models,
    actions/image/generate.operation.ts and its tests have the bodies."""
    assert all(model["id"] for model in client.get("/v1/models", headers=BEARER).get_json()["data"])
    default = {"prompt": "a cute cat", "model": "dall-e-3", "response_format": "b64_json"}
    assert asked(client, default)["data"][0]["b64_json"]
    options = {"quality": "hd", "size": "1024x1792", "style": "natural", "n": 1}
    assert size_of(asked(client, {**default, **options})["data"][0]["b64_json"]) == (1024, 1792)
    assert asked(client, {**default, "response_format": "url"})["data"][0]["url"]
    assert asked(client, {"prompt": "a cute cat", "model": "gpt-image-1", "response_format": ...})["data"][0][
        "b64_json"
    ]


def test_litellm(client: FlaskClient) -> None:
    """BerriAI/litellm, litellm/llms/openai/image_generation/openai_compatible_transformation.py: OpenAI's parameters by
    name, others verbatim by `extra_body`; tags of its proxy with them."""
    body = {"model": "auto", "prompt": "a red apple", "n": 2, "size": "512x512", "user": "u1", "seed": 7}
    answer = asked(
        client, {**body, "guidance_scale": 3, "watermark": False, "metadata": {"tags": ["a"]}, "timeout": 600}
    )
    assert len(answer["data"]) == 2
    assert answer["argus"]["ignored"] == ["metadata", "timeout", "user", "watermark"]
    assert (stored()[0].seed, stored()[0].guidance) == (7, 3.0)


def test_langchain_s_dall_e_wrapper(client: FlaskClient) -> None:
    """langchain-ai/langchain, libs/community/langchain_community/utilities/dalle_image_generator.py, `run`: reads the
    link of each image, without asking for links."""
    body = {"prompt": "a red apple", "n": 1, "size": "1024x1024", "model": "dall-e-2", "quality": "standard"}
    for item in asked(client, body)["data"]:
        assert client.get(item["url"]).data.startswith(PNG)


@pytest.mark.parametrize("model", ["auto", "dall-e-3", "gpt-image-1"])
def test_vercel_s_ai_sdk(client: FlaskClient, model: str) -> None:
    """vercel/ai, packages/openai/src (the package @ai-sdk/openai 3.0.141), `doGenerate` of the image model: wants
    `b64_json` of every image, as text."""
    body = {
        "model": model,
        "prompt": "a red apple",
        "n": 2,
        "size": "1024x1024",
        "quality": "hd",
        "style": ...,
        "complexity": "low",
        "user": "u1",
        "response_format": ... if model.startswith("gpt-image") else "b64_json",
    }
    answer = asked(client, body, **{"User-Agent": "ai-sdk/openai/3.0.141"})
    assert [size_of(item["b64_json"]) for item in answer["data"]] == [(1024, 1024)] * 2
    assert isinstance(answer["usage"]["input_tokens_details"]["text_tokens"], int)
