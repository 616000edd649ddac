"""OpenAI's own client generates images: every field its types have, and those that other servers have taught people."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from flask.testing import FlaskClient
from openai import OpenAI
from sqlalchemy import select

from core.database import transaction
from core.tables import Job
from tests.app.compat.openai_client import openai_client, picture_of
from tests.app.conftest import configured, rows
from tests.app.test_compat import stored, worker

GENERATIONS = "/v1/images/generations"


def bytes_at(client: FlaskClient, url: str | None) -> bytes:
    answer = client.get(str(url))
    assert answer.status_code == 200
    return answer.data


def test_the_plainest_call_is_answered_with_the_file_and_a_link_to_it(client: FlaskClient, api: OpenAI) -> None:
    answer = api.images.generate(prompt="a red apple", model="auto")
    (item,) = answer.data or []
    assert (picture_of(item.b64_json).format, picture_of(item.b64_json).size) == ("PNG", (64, 64))
    assert picture_of(item.b64_json).tobytes() == picture_of_bytes(bytes_at(client, item.url)).tobytes()
    assert answer.created > 1_700_000_000
    assert (answer.size, answer.output_format, answer.background) == ("64x64", "png", "opaque")
    assert answer.quality == "high"
    told: Any = item.argus  # type: ignore[attr-defined]
    assert (told["level"], told["native_size"], told["ignored"]) == ("exact", "64x64", [])
    with transaction() as session:
        assert session.scalars(select(Job.source)).all() == ["openai"]


def picture_of_bytes(data: bytes) -> Any:
    import base64

    return picture_of(base64.b64encode(data).decode())


def test_usage_counts_the_prompt_s_tokens_and_what_was_drawn(api: OpenAI) -> None:
    short = api.images.generate(prompt="apple").usage
    many = api.images.generate(prompt="a red apple beside a blue bird", n=3, size="1024x1024").usage
    assert short is not None
    assert many is not None
    assert 0 < short.input_tokens < many.input_tokens
    assert (short.output_tokens, many.output_tokens) == (16, 3 * 16)  # 64×64 each, by 16×16
    assert many.total_tokens == many.input_tokens + many.output_tokens
    assert many.input_tokens_details.text_tokens == many.input_tokens


@pytest.mark.parametrize(
    ("form", "model", "given"),
    [
        (None, None, {"b64_json", "url"}),
        ("url", None, {"url"}),
        ("b64_json", "exact", {"b64_json"}),
        ("url", "dall-e-3", {"url"}),
        (None, "gpt-image-1", {"b64_json"}),
        (None, "chatgpt-image-latest", {"b64_json"}),
        (None, "GPT-Image-1", {"b64_json"}),
        (None, "openai/gpt-image-1.5", {"b64_json"}),
        (None, "azure/dall-e-3", {"b64_json", "url"}),
        ("b64_json", "gpt-image-1", {"b64_json"}),
        ("url", "gpt-image-1", {"b64_json", "url"}),
    ],
)
def test_images_come_as_base64_by_link_or_both(client: FlaskClient, form: Any, model: Any, given: set[str]) -> None:
    with worker():
        asked = {"prompt": "a", "response_format": form, "model": model}
        (item,) = client.post(GENERATIONS, json=asked).get_json()["data"]
    assert set(item) == {*given, "argus"}


SIZES = "256x256 512x512 768x768 1024x1024 1536x1024 1024x1536 1792x1024 1024x1792 100x37 16x16 1280x720"


@pytest.mark.parametrize("size", SIZES.split())
def test_any_size_is_drawn_at_the_nearest_and_made_exactly_what_was_asked(
    client: FlaskClient, api: OpenAI, size: str
) -> None:
    answer = api.images.generate(prompt="a", size=size)
    (item,) = answer.data or []
    wanted = tuple(int(side) for side in size.split("x"))
    assert (answer.size, picture_of(item.b64_json).size) == (size, wanted)
    assert picture_of_bytes(bytes_at(client, item.url)).size == wanted
    (row,) = stored()
    wide = wanted[0] / wanted[1] > 1.45  # between the family's two shapes
    assert (row.width, row.height) == ((128, 64) if wide else (64, 64))
    assert item.argus["native_size"] == f"{row.width}x{row.height}"  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", ["128X64", "128×64", " 128x64 ", "128*64", "128 x 64"])
def test_a_size_may_be_written_as_people_write_it(api: OpenAI, size: str) -> None:
    assert api.images.generate(prompt="a", size=size).size == "128x64"


def test_auto_and_nothing_are_the_family_s_default(api: OpenAI) -> None:
    sizes = [api.images.generate(prompt="a", size=size).size for size in ("auto", None, "")]
    assert sizes == ["64x64"] * 3


def test_a_setting_refuses_sizes_the_family_does_not_draw(client: FlaskClient) -> None:
    with configured(ARGUS_COMPAT_SIZES="refuse"), pytest.raises(openai.BadRequestError, match="64x64, 128x64") as told:
        openai_client(client).images.generate(prompt="a", size="1024x1024")
    assert (told.value.param, rows()) == ("size", (0, 0))


@pytest.mark.parametrize(("asked", "made"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP"), ("jpg", "JPEG")])
def test_an_image_has_the_format_that_was_asked(client: FlaskClient, api: OpenAI, asked: Any, made: str) -> None:
    answer = api.images.generate(prompt="a", output_format=asked, output_compression=60, size="80x80")
    (item,) = answer.data or []
    assert answer.output_format == made.lower()
    assert (picture_of(item.b64_json).format, picture_of(item.b64_json).size) == (made, (80, 80))
    assert client.get(str(item.url)).mimetype == f"image/{made.lower()}"
    ignored = [] if made != "PNG" else ["output_compression"]
    assert item.argus["ignored"] == ignored  # type: ignore[attr-defined]


def test_our_own_options_go_in_extra_body(api: OpenAI) -> None:
    more = {"seed": "7.0", "steps": 12, "guidance": 3.5, "negative_prompt": "a worm", "min_quality": 0.9}
    answer = api.images.generate(prompt="a red apple", n=2, extra_body=more)
    assert [item.argus["seed"] for item in answer.data or []] == [7, 8]  # type: ignore[attr-defined]
    row = stored()[0]
    assert (row.steps, row.guidance, row.negative_prompt, row.min_quality) == (12, 3.5, "a worm", 0.9)


def test_names_of_other_servers_for_our_options_are_taken(client: FlaskClient, api: OpenAI) -> None:
    more = {"num_inference_steps": 9, "guidance_scale": 2.5, "batch_size": 2, "n": 2, "width": 512, "height": "512"}
    body = client.post(GENERATIONS, json={"prompt": "a", **more}).get_json()
    assert (len(body["data"]), body["size"]) == (2, "512x512")
    assert [(row.steps, row.guidance) for row in stored()] == [(9, 2.5)] * 2
    twice = client.post(GENERATIONS, json={"prompt": "a", "steps": 5, "num_inference_steps": 9})
    assert (twice.status_code, twice.get_json()["error"]["param"]) == (400, "num_inference_steps")
