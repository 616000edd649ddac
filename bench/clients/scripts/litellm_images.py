"""LiteLLM's image generation, as its proxy and its library call OpenAI-compatible servers."""

import asyncio
import base64

import litellm
from features import URL, Refused, expect, feature, size_of

HERE = {"api_base": f"{URL}/v1", "api_key": "none"}


@feature("default call")
def default() -> str:
    answer = litellm.image_generation(model="openai/auto", prompt="a red apple", **HERE)
    expect(answer.data[0]["b64_json"] or answer.data[0]["url"], "an image")
    return f"PNG of {size_of(base64.b64decode(answer.data[0]['b64_json']))}"


@feature("dall-e-3, drop_params, metadata, timeout")
def named() -> str:
    answer = litellm.image_generation(
        model="openai/dall-e-3",
        prompt="a red apple",
        size="1024x1024",
        quality="hd",
        n=1,
        timeout=120,
        drop_params=True,
        metadata={"user": "u1"},
        extra_body={"drop_params": True, "metadata": {"user": "u1"}, "timeout": 600},
        **HERE,
    )
    expect(size_of(base64.b64decode(answer.data[0]["b64_json"])) == (1024, 1024), "1024×1024")
    return "1024×1024"


@feature("asynchronous call, gpt-image-1")
def asynchronous() -> str:
    answer = asyncio.run(litellm.aimage_generation(model="openai/gpt-image-1", prompt="a red apple", **HERE))
    return f"PNG of {size_of(base64.b64decode(answer.data[0]['b64_json']))}"


@feature("a bad value")
def bad() -> str:
    try:
        litellm.image_generation(model="openai/auto", prompt="a red apple", n=99, **HERE)
    except litellm.BadRequestError as error:
        raise Refused(f"BadRequestError: {error.message}") from None
    raise AssertionError("it was drawn")
