"""What clients send to `txt2img`. Each field is read, ignored because it means nothing here, or refused unless off."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from app.compat.a1111.off import Off, OffAtMinusOne, acting_scripts
from app.compat.a1111.settings import CHECKPOINT, FORMAT, FORMATS, OTHER_PICTURE, refuse_settings, without_effect
from app.rendering import Format
from app.schemas.base import Number, Seed, Whole
from app.schemas.submission import JobIn
from app.sizes import Sizes, sizes_for
from core.errors import BadInput, OutOfRange
from core.families import Family
from core.numbers import RANDOM

MOST_IMAGES = 64
READ = {
    *("prompt", "negative_prompt", "seed", "subseed", "steps", "cfg_scale", "width", "height", "batch_size", "n_iter"),
    *("override_settings", "send_images"),
}


class Txt2ImgIn(BaseModel):
    """What to draw; what is left out is the family's default. Fields that are not listed are ignored."""

    model_config = ConfigDict(allow_inf_nan=False)

    prompt: str | None = ""
    negative_prompt: str | None = ""
    seed: Seed | None = Field(default=RANDOM, description="Of the first image; -1 is drawn.")
    subseed: Seed | None = Field(default=RANDOM, description="Means nothing, as `subseed_strength` must be 0.")
    steps: Whole | None = None
    cfg_scale: Number | None = None
    width: Whole | None = None
    height: Whole | None = None
    batch_size: Whole | None = Field(default=1, ge=1)
    n_iter: Whole | None = Field(default=1, ge=1, description="`batch_size` × `n_iter` are at most 64 images.")
    send_images: bool | None = Field(default=True, description="False: the images are drawn and kept, not sent.")
    sampler_name: str | None = Field(default=None, description="Ignored: each level brings its own.")
    scheduler: str | None = Field(default=None, description="Ignored: each level brings its own.")
    override_settings: dict[str, Any] | None = Field(
        default=None,
        description="`sd_model_checkpoint`: a level, or the family. `samples_format`: png, jpg or webp. How a "
        "checkpoint is run is the level's own: such settings are ignored, and named in `info`.",
    )
    alwayson_scripts: dict[str, Any] | None = Field(default=None, description="Refused unless all are disabled.")
    enable_hr: Off
    restore_faces: Off
    tiling: Off
    styles: Off
    subseed_strength: Off
    seed_resize_from_w: OffAtMinusOne
    seed_resize_from_h: OffAtMinusOne
    script_name: Off
    refiner_checkpoint: Off
    infotext: Off

    READ: ClassVar[frozenset[str]] = frozenset(READ)  # fields that mean something here

    def sizes(self, family: Family) -> Sizes:
        """What was asked for, and what is drawn for it."""
        return sizes_for(family, self.width, self.height, "width")

    @property
    def images(self) -> int:
        """How many are wanted."""
        return (self.batch_size or 1) * (self.n_iter or 1)

    @property
    def checkpoint(self) -> str | None:
        """The checkpoint that this call names."""
        named = (self.override_settings or {}).get(CHECKPOINT)
        if named is not None and not isinstance(named, str):
            raise BadInput("A checkpoint is named by text.", field=f"override_settings.{CHECKPOINT}")
        return named or None

    @property
    def format(self) -> Format:
        """What the images are sent as: the setting `samples_format` of this call, in the web UI's words."""
        named = (self.override_settings or {}).get(FORMAT) or "png"
        if not isinstance(named, str) or named.strip().lower() not in FORMATS:
            raise BadInput("Images are sent as png, jpg or webp.", field=f"override_settings.{FORMAT}")
        return FORMATS[named.strip().lower()]

    def job(self, level: str, sizes: Sizes) -> JobIn:
        """The job that this asks for.

        Raises:
            BadInput: a script or setting that would change the image.
            OutOfRange: more images than one call may ask for.
        """
        self._refuse()
        return JobIn(
            prompt=self.prompt or "",
            negative_prompt=self.negative_prompt,
            seed=self.seed,
            steps=self.steps,
            guidance=self.cfg_scale,
            width=sizes.native[0],
            height=sizes.native[1],
            n=self.images,
            level=level,
        )

    def _refuse(self) -> None:
        if self.images > MOST_IMAGES:
            raise OutOfRange(f"{self.images} images; at most {MOST_IMAGES} come in one call.", field="n_iter")
        if acting := acting_scripts(self.alwayson_scripts):
            raise BadInput(
                f"{', '.join(acting)[:200]} would change the image, and Argus runs no scripts: leave it out, or "
                "disable it.",
                field="alwayson_scripts",
            )
        settings = self.override_settings or {}
        refuse_settings({name: settings[name] for name in OTHER_PICTURE if name in settings}, "override_settings.")


class OptionsIn(BaseModel):
    """Options to change; see `POST /options`."""

    model_config = ConfigDict(extra="allow")

    sd_model_checkpoint: str | None = Field(default=None, description="A level, or the family.")


class PngInfoIn(BaseModel):
    """An image."""

    image: str = Field(description="The file, base64, with `data:…;base64,` before it or without.")


class ProgressIn(BaseModel):
    """What of the progress is wanted."""

    skip_current_image: bool = Field(default=False, description="Leave out what the image looks like so far.")


def ignored(sent: dict[str, Any], read: Collection[str]) -> list[str]:
    """Names of fields with something in them that are not `read` here, and of settings without effect."""
    fields = [name for name, value in sent.items() if name not in read and value not in (None, "", [], {})]
    overridden = {name: value for name, value in (sent.get("override_settings") or {}).items() if name != FORMAT}
    settings = [f"override_settings.{name}" for name in without_effect(overridden)]
    return sorted(str(name)[:100] for name in [*fields, *settings])
