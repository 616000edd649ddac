"""LangChain's DALL-E wrapper and tool."""

import os

from features import URL, expect, feature
from langchain_community.tools.openai_dalle_image_generation import OpenAIDALLEImageGenerationTool
from langchain_community.utilities.dalle_image_generator import DallEAPIWrapper

os.environ.update(OPENAI_API_KEY="none", OPENAI_API_BASE=f"{URL}/v1", OPENAI_BASE_URL=f"{URL}/v1")


@feature("default call")
def default() -> str:
    answer = DallEAPIWrapper().run("a red apple")
    expect(answer.startswith("http"), f"a link, got {answer[:80]!r}")
    return "a link"


@feature("dall-e-3, hd, as a tool")
def tool() -> str:
    wrapper = DallEAPIWrapper(model="dall-e-3", size="1024x1024", quality="hd")
    answer = OpenAIDALLEImageGenerationTool(api_wrapper=wrapper).run("a red apple")
    expect(answer.startswith("http"), f"a link, got {answer[:80]!r}")
    return "a link"
