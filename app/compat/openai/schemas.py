"""Shapes of OpenAI's Images and Models APIs, as the types of its package have them."""

from __future__ import annotations

import uuid
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from app.compat.drawing import Origin
from app.rendering import Format
from app.schemas.base import Out

Heard = Literal["low", "medium", "high"]
IGNORED = Field(description="Fields that were sent and mean nothing here.")
NATIVE = Field(description="The size that was drawn, of which the image was made.")


class Told(Origin):
    """What Argus adds to an image."""

    url: str = Field(description="The file, in the size and format that were asked.")
    native_size: str = NATIVE
    ignored: list[str] = IGNORED


class Item(Out):
    """One image; what does not apply is left out."""

    url: str | None = None
    b64_json: str | None = None
    revised_prompt: str | None = Field(default=None, description="What was drawn, where that is not what was sent.")
    argus: Told

    @model_serializer(mode="wrap")
    def _without_blanks(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in fields(self).items() if value is not None}


class TokenDetails(Out):
    """Tokens by kind."""

    text_tokens: int
    image_tokens: int


class Usage(Out):
    """Work, in OpenAI's unit. Nothing is charged by it."""

    input_tokens: int = Field(description="Of prompt and negative prompt, by the family's own tokenizer.")
    output_tokens: int = Field(description="One for every 16×16 pixels that were drawn.")
    total_tokens: int
    input_tokens_details: TokenDetails
    output_tokens_details: TokenDetails


class Summary(Out):
    """What Argus adds to the whole answer."""

    job_id: uuid.UUID
    native_size: str = NATIVE
    ignored: list[str] = IGNORED


class ImagesOut(Out):
    """The images, in order of their seeds."""

    created: int = Field(description="Seconds since 1970.")
    data: list[Item]
    background: Literal["opaque"] = "opaque"
    output_format: Format
    quality: Heard = Field(description="What the images got; of several, the lowest: see `argus` of each.")
    size: str
    usage: Usage
    argus: Summary


class ModelOut(Out):
    """A name that `model` takes."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(default=0, description="Not known.")
    owned_by: str = "argus"


class ModelsOut(Out):
    """The family, each of its levels, and names of OpenAI's that stand for them."""

    object: Literal["list"] = "list"
    data: list[ModelOut]


class OpenAIError(Out):
    """OpenAI's words about an error."""

    message: str
    type: str = Field(description="`invalid_request_error`, `rate_limit_error`, `permission_error` or `server_error`.")
    param: str | None = Field(description="The part of the input at fault.")
    code: str = Field(description="Stable; `docs/errors.md` lists all.")


ERROR_BODY: dict[str, Any] = {
    "type": "object",
    "properties": {"error": OpenAIError.model_json_schema()},
    "required": ["error"],
}
