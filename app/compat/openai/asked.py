"""The body of `POST /v1/images/generations`, read."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.compat.openai.fields import check_unknown, renamed
from app.compat.openai.quality import Quality, Wish
from app.rendering import QUALITY, Format, Rendering
from app.schemas.base import AnyWhole, Number, Seed, Share, Whole
from app.schemas.submission import JobIn
from app.sizes import Sizes, sizes_for
from core.errors import BadInput
from core.families import Family

SIZE = re.compile(r"([0-9]{1,5})\s?[x×*]\s?([0-9]{1,5})")
WORDS = ("size", "quality", "response_format", "output_format", "background")  # upper or lower case, it is the same
MEANINGLESS = ("style", "moderation", "complexity", "safety_identifier", "user")
NO_ALPHA = "An image fills its background here: send `opaque`, or leave it out."
IGNORED = Field(default=None, description="Ignored.")


class ImagesIn(BaseModel):
    """What to draw. Beside OpenAI's fields there are ours (its client: `extra_body`); unknown ones that cannot change
    the image are taken and named in the answer."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)

    deed: ClassVar[str] = "image_generation"  # begins the names of a stream's events

    prompt: str = Field(description="Text, UTF-8, no control characters.")
    model: str | None = Field(
        default=None,
        description="A level's id; the family's, `auto` or none: Argus chooses the level; or an alias.",
    )
    n: AnyWhole | None = Field(default=None, ge=1, le=10, description="Images; 1 if left out.")
    size: str | None = Field(
        default=None,
        description="`WIDTHxHEIGHT`: drawn at the family's nearest size and made what was asked. `auto`: as drawn.",
    )
    quality: Quality | None = Field(
        default=None,
        description="`high`: never approximated. `medium`: 0.95 of its quality at least. `low`: the cheapest level. "
        "`auto`: as Argus chooses. A level that `model` names wins.",
    )
    response_format: Literal["url", "b64_json"] | None = Field(
        default=None, description="Left out: both; for names of GPT image models `b64_json`."
    )
    output_format: Format | None = Field(default=None, description="`png` if left out.")
    output_compression: AnyWhole | None = Field(
        default=None, ge=0, le=100, description=f"Quality of JPEG and WebP; {QUALITY} if left out."
    )
    background: Literal["auto", "opaque"] | None = None
    stream: bool | None = Field(default=None, description="Answer by events: partial images, then the image.")
    partial_images: AnyWhole | None = Field(default=None, ge=0, le=3, description="Of a stream.")
    negative_prompt: str | None = Field(default=None, description="What the image should not show.")
    seed: Seed | None = Field(default=None, description="Seed of the first image; others follow it.")
    steps: Whole | None = Field(default=None, description="Denoising steps asked of `exact`.")
    guidance: Number | None = Field(default=None, description="Classifier-free guidance scale.")
    min_quality: Share | None = Field(default=None, description="Lowest relative quality wanted.")
    style: Any = IGNORED
    moderation: Any = IGNORED
    complexity: Any = IGNORED
    safety_identifier: Any = IGNORED
    user: Any = IGNORED

    @model_validator(mode="before")
    @classmethod
    def _sorted(cls, sent: Any) -> Any:
        """Leave out what says nothing, and refuse what would have made another image."""
        if not isinstance(sent, dict):
            return sent
        said = {name: value for name, value in renamed(sent).items() if value is not None}
        said = {name: value for name, value in said.items() if value != "" or name == "prompt"}
        ours = tuple(name for name in cls.model_fields if name not in MEANINGLESS)
        for name, value in said.items():
            if name not in cls.model_fields:
                check_unknown(name, value, ours)
        said |= {name: said[name].lower().strip() for name in WORDS if isinstance(said.get(name), str)}
        if said.get("output_format") == "jpg":
            said["output_format"] = "jpeg"
        if said.get("background") == "transparent":
            raise BadInput(NO_ALPHA, field="background")
        return said

    def sizes(self, family: Family) -> Sizes:
        """The size that was asked, and the one that is drawn for it."""
        if self.size in (None, "auto"):
            return sizes_for(family, None, None)
        found = SIZE.fullmatch(self.size or "")
        if found is None:
            raise BadInput(f"{(self.size or '')[:40]!r} is no size: send WIDTHxHEIGHT or `auto`.", field="size")
        return sizes_for(family, int(found[1]), int(found[2]))

    def rendering(self, sizes: Sizes) -> Rendering:
        """What is made of the stored image."""
        width, height = sizes.asked if sizes.resized else (None, None)
        quality = QUALITY if self.output_compression is None else self.output_compression
        return Rendering(width, height, self.output_format or "png", quality if self.compresses else QUALITY)

    @property
    def compresses(self) -> bool:
        """Whether the format loses anything."""
        return self.output_format in ("jpeg", "webp")

    def job(self, sizes: Sizes, wish: Wish) -> JobIn:
        """The job that this asks for."""
        width, height = sizes.native
        return JobIn(
            prompt=self.prompt,
            negative_prompt=self.negative_prompt,
            n=self.n or 1,
            seed=self.seed,
            steps=self.steps,
            guidance=self.guidance,
            width=width,
            height=height,
            level=wish.level,
            min_quality=wish.min_quality,
        )

    def ignored(self, wish: Wish) -> list[str]:
        """Names of what was sent and means nothing here, in alphabetical order."""
        idle = {
            *(name for name in MEANINGLESS if getattr(self, name) is not None),
            *(self.model_extra or {}),
            *(["quality"] if not wish.heard else []),
            *(["output_compression"] if self.output_compression is not None and not self.compresses else []),
            *(["partial_images"] if self.partial_images and not self.stream else []),
        }
        return sorted(idle)
