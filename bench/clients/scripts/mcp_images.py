"""image-generation-mcp: its two providers that speak to servers like this one."""

import asyncio
import os

from features import URL, Refused, expect, feature, size_of

os.environ["OPENAI_BASE_URL"] = f"{URL}/v1"


def provider(name: str):
    """A provider of the package, pointed here."""
    if name == "openai":
        from image_generation_mcp.providers.openai import OpenAIImageProvider

        return OpenAIImageProvider(api_key="none")
    from image_generation_mcp.providers.sd_webui import SdWebuiImageProvider

    return SdWebuiImageProvider(host=URL)


def bytes_of(result) -> bytes:
    return next(value for value in vars(result).values() if isinstance(value, bytes))


@feature("OpenAI provider, default call")
def openai_default() -> str:
    result = asyncio.run(provider("openai").generate("a red apple"))
    return f"PNG of {size_of(bytes_of(result))}"


@feature("OpenAI provider, 16:9, hd")
def openai_wide() -> str:
    result = asyncio.run(
        provider("openai").generate("a red apple", aspect_ratio="16:9", quality="hd", negative_prompt="blur")
    )
    expect(size_of(bytes_of(result)) == (1536, 1024), "1536×1024")
    return "1536×1024"


@feature("SD WebUI provider, default call")
def webui_default() -> str:
    result = asyncio.run(provider("webui").generate("a red apple"))
    expect(size_of(bytes_of(result)) == (768, 768), "768×768")
    return "768×768"


@feature("SD WebUI provider, progress and 16:9")
def webui_progress() -> str:
    told: list[float] = []

    async def hear(fraction: float, _message: str) -> None:
        told.append(fraction)

    result = asyncio.run(
        provider("webui").generate("a red apple", aspect_ratio="16:9", negative_prompt="blur", progress_callback=hear)
    )
    return f"{size_of(bytes_of(result))}, {len(told)} reports"


@feature("SD WebUI provider, capabilities")
def webui_capabilities() -> str:
    found = asyncio.run(provider("webui").discover_capabilities())
    return f"{len(found.models)} models"


@feature("SD WebUI provider, image to image")
def webui_img2img() -> str:
    from image_generation_mcp.providers.types import ImageProviderError, InputImage

    png = bytes_of(asyncio.run(provider("webui").generate("a red apple")))
    try:
        asyncio.run(provider("webui").generate("a green apple", reference_images=[InputImage(png, "image/png")]))
    except ImageProviderError as error:
        raise Refused(f"{type(error).__name__}: {error}") from None
    return "drawn"
