"""Shapes of the web UI's API, as its modules/api/models.py has them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.compat.drawing import level_of
from app.schemas.base import AnyWhole, Number, Out, Seed, Whole
from app.schemas.submission import JobIn
from core.families import Family
from core.numbers import RANDOM

Off = Literal[False] | None


class Overrides(BaseModel):
    """Settings for one call; others than this are ignored."""

    sd_model_checkpoint: str | None = Field(
        default=None, description="A level's id; the family's, `auto` or none: Argus chooses the level."
    )


class Txt2ImgIn(BaseModel):
    """What to draw; what is left out is the family's default. Fields that are not listed are ignored."""

    model_config = ConfigDict(allow_inf_nan=False)

    prompt: str = ""
    negative_prompt: str | None = ""
    seed: Seed | None = Field(default=RANDOM, description="Of the first image; -1 is drawn.")
    steps: Whole | None = None
    cfg_scale: Number | None = None
    width: Whole | None = None
    height: Whole | None = None
    batch_size: AnyWhole = Field(default=1, ge=1, le=8)
    n_iter: AnyWhole = Field(default=1, ge=1, le=8, description="There are `batch_size` × `n_iter` images.")
    sampler_name: str | None = Field(default=None, description="Ignored: each level brings its own.")
    override_settings: Overrides | None = None
    enable_hr: Off = None
    restore_faces: Off = None
    tiling: Off = None
    subseed_strength: Number | None = Field(default=None, ge=0, le=0)
    styles: list[str] | None = Field(default=None, max_length=0)
    script_name: Literal["", "None"] | None = None
    alwayson_scripts: dict[str, Any] | None = Field(default=None, max_length=0)

    def job(self, family: Family) -> JobIn:
        """The job that this asks for."""
        checkpoint = self.override_settings.sd_model_checkpoint if self.override_settings else None
        return JobIn(
            prompt=self.prompt,
            negative_prompt=self.negative_prompt,
            seed=self.seed,
            steps=self.steps,
            guidance=self.cfg_scale,
            width=self.width,
            height=self.height,
            n=self.batch_size * self.n_iter,
            level=level_of(checkpoint, family),
        )


class Txt2ImgOut(Out):
    """The images, in order of their seeds."""

    images: list[str] = Field(description="PNG files, base64.")
    parameters: dict[str, Any] = Field(description="What was sent, with what was drawn where nothing was sent.")
    info: str = Field(description="JSON: seeds, infotexts, and `argus`, which says of each image what drew it and why.")


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


class OptionsOut(Out):
    """Options in force."""

    sd_model_checkpoint: str
    samples_format: str = "png"


class ProgressOut(Out):
    """How far everything is that was sent to these addresses."""

    progress: float = Field(description="Share of the images of open jobs that are finished; 0 while none is open.")
    eta_relative: float = Field(default=0.0, description="Not estimated.")
    state: dict[str, Any]
    current_image: str | None = None
    textinfo: str | None = None


class A1111Error(Out):
    """The web UI's words about an error."""

    error: str = Field(description="Our stable code; `docs/errors.md` lists all.")
    detail: str
    body: str = ""
    errors: str = Field(description="The detail, with the field at fault.")
