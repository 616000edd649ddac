"""What the web UI's API answers, as its modules/api/models.py has it."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from app.schemas.base import Out


class Txt2ImgOut(Out):
    """The images, in order of their seeds."""

    images: list[str] = Field(description="PNG files, base64; none with `send_images: false`.")
    parameters: dict[str, Any] = Field(description="What was sent, with what was drawn where nothing was sent.")
    info: str = Field(
        description="JSON: as the web UI has it, and `argus`, which says of each image what drew it and why, "
        "`argus_native_size`, `argus_ignored` (fields that were sent and mean nothing here). Whole numbers over 2^53-1 "
        "are text in it."
    )


class SdModel(Out):
    """A name that `sd_model_checkpoint` takes."""

    title: str
    model_name: str
    hash: str | None = None
    sha256: str | None = None
    filename: str
    config: str | None = None


class Sampler(Out):
    """A sampler's name."""

    name: str
    aliases: list[str] = []
    options: dict[str, str] = {}


class Scheduler(Out):
    """A noise schedule's name."""

    name: str
    label: str
    aliases: list[str] = []
    default_rho: float = -1.0
    need_inner_model: bool = False


class Upscaler(Out):
    """An upscaler's name."""

    name: str
    model_name: str | None = None
    model_path: str | None = None
    model_url: str | None = None
    scale: float = 1.0


class Thing(Out):
    """What a list of things that Argus has none of would hold."""

    name: str


class Lora(Out):
    """A LoRA that prompts may name."""

    name: str
    alias: str
    path: str = Field(description="As the family file has it.")
    metadata: dict[str, Any]


class Scripts(Out):
    """Titles of scripts."""

    txt2img: list[str] = []
    img2img: list[str] = []


class Embeddings(Out):
    """Textual inversions by name."""

    loaded: dict[str, Any] = {}
    skipped: dict[str, Any] = {}


class Memory(Out):
    """Memory in bytes: of the machine that answers, and why there is none of CUDA."""

    ram: dict[str, float]
    cuda: dict[str, str] = {"error": "unavailable"}


class ProgressOut(Out):
    """How far everything is that this client sent to `txt2img`."""

    progress: float = Field(description="Share of all steps of open work that are done; 0 while none is open.")
    eta_relative: float = Field(description="Seconds left, if it goes on as it did since the first was sent.")
    state: dict[str, Any]
    current_image: str | None = Field(default=None, description="What the one that is furthest on looks like, base64.")
    textinfo: str | None = None


class PngInfoOut(Out):
    """What an image says about itself."""

    info: str = Field(description="The web UI's text, as every PNG of Argus has it; empty where there is none.")
    items: dict[str, str] = Field(description="Its other text chunks.")
    parameters: dict[str, str] = Field(description="The parts of `info` by name.")


class A1111Error(Out):
    """The web UI's words about an error."""

    error: str = Field(description="Our stable code; `docs/errors.md` lists all.")
    detail: str
    body: str = ""
    errors: str = Field(description="The detail, with the field at fault.")
