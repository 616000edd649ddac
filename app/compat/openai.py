"""OpenAI's Images API: `POST /v1/images/generations` and `/v1/models`.

Shapes as in https://platform.openai.com/docs/api-reference/images/create and …/models. What a client sends for
OpenAI's own models is taken and left alone (`quality`, `style`, …), unless the image would not be what was asked for:
that, and fields nobody knows, are refused.
"""

from __future__ import annotations

import time
from typing import Any, Literal

from apiflask import APIBlueprint
from flask import url_for
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from app.compat.drawing import Drawing, Origin, draw, level_of, model_names
from app.compat.wire import REFUSALS, described, speak
from app.schemas import ErrorDetail, In, JobIn, Out, Seed, Share
from app.submission import AUTO
from core.errors import NotFound
from core.families import Family, load_family
from core.settings import settings

blueprint = APIBlueprint("openai", __name__, url_prefix="/v1", tag="OpenAI's shape")
OUR_FIELDS = {"level": "model", "width": "size", "height": "size", "prompts": "n"}
EXAMPLES = {
    "a link": {"value": {"prompt": "a red apple on a table"}},
    "two files at one level": {
        "value": {"prompt": "a red apple", "model": "exact", "n": 2, "response_format": "b64_json"}
    },
}


class ImagesIn(In):
    """What to draw. `negative_prompt`, `seed` and `min_quality` are not OpenAI's (its client: `extra_body`)."""

    prompt: str = Field(description="Text, UTF-8, no control characters.")
    model: str | None = Field(
        default=None, description="A level's id; the family's, `auto` or none: Argus chooses the level."
    )
    n: int | None = Field(default=None, ge=1, le=10, description="Images; 1 if left out.")
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
    output_compression: int | None = Field(default=None, description="Ignored: PNG loses nothing.")
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


@blueprint.post("/images/generations")
@blueprint.input(ImagesIn, arg_name="wanted", examples=EXAMPLES)
@blueprint.output(ImagesOut, description="The images are there")
@blueprint.doc(responses=described(ERROR_BODY, REFUSALS))
def generate(wanted: ImagesIn) -> ImagesOut:
    """Draw images and wait for them

    Submits a job and answers when its images are there; `argus` says of each which level drew it and why. After
    ARGUS_COMPAT_WAIT_S the answer is 504, naming the job, which goes on.
    """
    drawings = draw(wanted.job(load_family(settings().family)), "openai")
    return ImagesOut(created=int(time.time()), data=[_item(drawing, wanted) for drawing in drawings])


@blueprint.get("/models")
@blueprint.output(ModelsOut)
def list_models() -> ModelsOut:
    """List models

    The family served, of which Argus chooses a level, and each of its levels.
    """
    return ModelsOut(data=[ModelOut(id=name) for name in model_names(load_family(settings().family))])


@blueprint.get("/models/<model_id>")
@blueprint.output(ModelOut)
@blueprint.doc(responses=described(ERROR_BODY, {404: "No such model"}))
def read_model(model_id: str) -> ModelOut:
    """Read a model

    Whether `model` takes this name.
    """
    names = model_names(load_family(settings().family))
    if model_id not in (AUTO, *names):
        raise NotFound(f"There is no model {model_id!r}. Use auto or one of: {', '.join(names)}.", field="model")
    return ModelOut(id=model_id)


def _pixels(size: str | None) -> dict[str, Any]:
    if size is None or size == AUTO:
        return {}
    width, height = size.split("x")
    return {"width": int(width), "height": int(height)}


def _item(drawing: Drawing, wanted: ImagesIn) -> Item:
    prompt, origin = drawing.request.prompt, drawing.origin
    item = Item(argus=origin, revised_prompt=prompt if prompt != wanted.prompt else None)
    if wanted.response_format == "b64_json":
        item.b64_json = drawing.base64()
    else:
        item.url = url_for("images.read_image", image_id=origin.image_id, _external=True)
    return item


def _error(error: ErrorDetail, status: int) -> dict[str, Any]:
    kind = "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
    told = OpenAIError(message=error.message, type=kind, param=error.field, code=error.code)
    return {"error": told.model_dump()}


speak(blueprint, _error, OUR_FIELDS)
