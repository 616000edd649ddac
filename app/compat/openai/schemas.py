"""Shapes of OpenAI's Images and Models APIs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from app.compat.drawing import Origin, level_of
from app.schemas.base import AnyWhole, In, Out, Seed, Share
from app.schemas.submission import JobIn
from app.submission import AUTO
from core.families import Family


class ImagesIn(In):
    """What to draw. `negative_prompt`, `seed` and `min_quality` are not OpenAI's (its client: `extra_body`)."""

    prompt: str = Field(description="Text, UTF-8, no control characters.")
    model: str | None = Field(
        default=None, description="A level's id; the family's, `auto` or none: Argus chooses the level."
    )
    n: AnyWhole | None = Field(default=None, ge=1, le=10, description="Images; 1 if left out.")
    size: str | None = Field(
        default=None,
        pattern="^(auto|[0-9]{1,5}x[0-9]{1,5})$",
        description="`WIDTHxHEIGHT`, one of the family's sizes; `auto` is its default.",
    )
    response_format: Literal["url", "b64_json"] | None = Field(default=None, description="`url` if left out.")
    negative_prompt: str | None = Field(default=None, description="What the image should not show.")
    seed: Seed | None = Field(default=None, description="Seed of the first image; others follow it.")
    min_quality: Share | None = Field(default=None, description="Lowest relative quality wanted.")
    output_format: Literal["png"] | None = None
    background: Literal["auto", "opaque"] | None = None
    stream: Literal[False] | None = None
    partial_images: Literal[0] | None = None
    quality: str | None = Field(default=None, description="Ignored: levels and `min_quality` are the words here.")
    style: str | None = Field(default=None, description="Ignored.")
    moderation: str | None = Field(default=None, description="Ignored.")
    output_compression: AnyWhole | None = Field(default=None, description="Ignored: PNG loses nothing.")
    user: str | None = Field(default=None, description="Ignored.")

    def job(self, family: Family) -> JobIn:
        """The job that this asks for."""
        return JobIn(
            prompt=self.prompt,
            negative_prompt=self.negative_prompt,
            n=self.n or 1,
            seed=self.seed,
            level=level_of(self.model, family),
            min_quality=self.min_quality,
            **_pixels(self.size),
        )


def _pixels(size: str | None) -> dict[str, Any]:
    if size is None or size == AUTO:
        return {}
    width, height = size.split("x")
    return {"width": int(width), "height": int(height)}


class Item(Out):
    """One image; what does not apply is left out."""

    url: str | None = None
    b64_json: str | None = None
    revised_prompt: str | None = Field(default=None, description="What was drawn, where white space was tidied.")
    argus: Origin

    @model_serializer(mode="wrap")
    def _without_blanks(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in fields(self).items() if value is not None}


class ImagesOut(Out):
    """The images, in order of their seeds."""

    created: int = Field(description="Seconds since 1970.")
    data: list[Item]


class ModelOut(Out):
    """A name that `model` takes."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(default=0, description="Not known.")
    owned_by: str = "argus"


class ModelsOut(Out):
    """The family, and each of its levels."""

    object: Literal["list"] = "list"
    data: list[ModelOut]


class OpenAIError(Out):
    """OpenAI's words about an error."""

    message: str
    type: str = Field(description="`invalid_request_error`, `rate_limit_error` or `server_error`.")
    param: str | None = Field(description="The part of the input at fault.")
    code: str = Field(description="Stable; `docs/errors.md` lists all.")


ERROR_BODY: dict[str, Any] = {
    "type": "object",
    "properties": {"error": OpenAIError.model_json_schema()},
    "required": ["error"],
}
