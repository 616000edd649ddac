"""OpenAI's own client over HTTP, through a web process and a real worker."""

from __future__ import annotations

import base64
import io
import uuid
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from PIL import Image as Pillow

from core.tables import Job
from tests.app.web_process import Web, web_process
from tests.live.conftest import PATIENCE_S, Stack


@pytest.fixture(scope="module")
def web(stack: Stack) -> Iterator[Web]:
    own = {name: stack.env[name] for name in ("ARGUS_BROKER_URL", "ARGUS_STALE_S")}
    with web_process(stack.services, stack.family_file, **own) as running:
        yield running


@pytest.fixture
def api(web: Web) -> OpenAI:
    return OpenAI(base_url=f"{web.url}/v1", api_key="none", max_retries=0, timeout=PATIENCE_S)


def picture_of(b64: str | None) -> Any:
    return Pillow.open(io.BytesIO(base64.b64decode(b64 or "")))


def test_the_first_call_of_a_front_end_shows_an_image(web: Web, api: OpenAI):
    assert "toy" in [model.id for model in api.models.list()]
    answer = api.images.generate(model="dall-e-3", prompt="2 red foxes", size="1024x1792", quality="hd", style="vivid")
    (item,) = answer.data
    picture = picture_of(item.b64_json)
    assert (picture.size, picture.text["level"]) == ((1024, 1792), "exact")
    assert (answer.quality, item.argus["native_size"], item.argus["ignored"]) == ("high", "32x32", ["style"])
    status, file = web.call(item.url.removeprefix(web.url))
    assert (status, file) == (200, base64.b64decode(item.b64_json))


def test_low_is_the_cheapest_level_of_the_profile(api: OpenAI):
    (item,) = api.images.generate(prompt="2 red foxes", quality="low", output_format="webp").data
    assert (picture_of(item.b64_json).format, item.argus["level"]) == ("WEBP", "sm-small")


def test_partial_images_are_the_engine_s_own_and_differ_from_the_image(api: OpenAI):
    asked = api.images.generate(
        prompt="2 red foxes", stream=True, partial_images=2, quality="high", extra_body={"steps": 400, "seed": 7}
    )
    *partials, last = list(asked)
    assert [(event.type, event.partial_image_index) for event in partials] == [
        ("image_generation.partial_image", 0),
        ("image_generation.partial_image", 1),
    ]
    assert (last.type, last.argus["seed"], last.usage.output_tokens) == ("image_generation.completed", 7, 4)
    assert len({picture_of(event.b64_json).tobytes() for event in (*partials, last)}) == 3


def test_the_job_of_a_client_that_hangs_up_in_a_stream_is_noted_as_abandoned(api: OpenAI, stack: Stack):
    asked = api.images.generate(prompt="2 red foxes", stream=True, extra_body={"steps": 400})
    job = uuid.UUID(asked.response.headers["x-argus-job"])
    asked.response.close()
    noted = (Job.id == job, Job.abandoned_at.is_not(None))
    stack.wait_for(lambda: bool(stack.rows(Job, *noted)), "the job noted as abandoned")


def test_what_is_refused_is_raised_with_the_id_of_the_call(api: OpenAI):
    with pytest.raises(openai.BadRequestError, match="is no picture") as told:
        api.images.edit(image=("a.png", b"\x89PNG", "image/png"), prompt="a", model="gpt-image-1")
    assert told.value.request_id
    with pytest.raises(openai.NotFoundError) as missing:
        api.images.generate(model="flux", prompt="a")
    assert missing.value.code == "model_not_found"
