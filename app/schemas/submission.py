"""What a submission may say, in each of its forms: JSON, a form of the page, a file."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from apiflask.fields import UploadFile
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.schemas.base import AnyWhole, ClassName, Flag, In, Number, Seed, Share, Whole
from app.schemas.hooks import TOLD, EventNames
from core.errors import TooLarge
from core.kinds import Kind
from core.loras import LEAST_WEIGHT, MOST_WEIGHT
from core.loras import MOST as MOST_LORAS
from core.outputs import OUTPUT_CHARS
from core.parallel import Parallel
from core.settings import settings

MAX_DEADLINE_S = 30 * 86_400.0
TITLE_CHARS = 200
LORA_SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "weight": {"anyOf": [{"type": "number"}, {"type": "null"}]}},
    "required": ["name"],
    "additionalProperties": False,
}
OPERATOR_SCHEMA = {
    "anyOf": [
        {
            "type": "object",
            "properties": {"operator": {"type": "string", "enum": ["blur", "down", "mask"]}},
            "required": ["operator"],
            "additionalProperties": {"anyOf": [{"type": "number"}, {"type": "string"}]},
        },
        {"type": "string"},
    ]
}
LEVEL_CHARS = 64
LEAST_STRENGTH = 0.01  # a schedule is made long enough for one step of it
Strength = Annotated[Number, Field(ge=LEAST_STRENGTH, le=1)]
Upscale = Annotated[Number, Field(gt=1, le=8)]
CUSTOM_ID_CHARS = 255


class LoraIn(In):
    """A LoRA of the family, and how strongly it acts."""

    name: str = Field(description="As `GET /v1/levels` lists it.")
    weight: Number | None = Field(
        default=None, description=f"{LEAST_WEIGHT:g} to {MOST_WEIGHT:g}; left out: as the family has it."
    )


def _as_loras(value: Any) -> Any:
    """`ink:0.8, oil` as a list of both; a list's texts as what they name."""
    parts = [part for part in re.split("[,;]", value) if part.strip()] if isinstance(value, str) else value
    return [_as_lora(part) if isinstance(part, str) else part for part in parts] if isinstance(parts, list) else parts


def _as_lora(text: str) -> dict[str, str | None]:
    name, _, weight = text.strip().partition(":")
    return {"name": name.strip(), "weight": weight.strip() or None}


Loras = Annotated[
    list[LoraIn],
    BeforeValidator(_as_loras),
    WithJsonSchema(
        {"anyOf": [{"type": "array", "items": {"anyOf": [LORA_SCHEMA, {"type": "string"}]}}, {"type": "string"}]}
    ),
]


def _as_object(value: Any) -> Any:
    """An object that a cell or field writes as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise PydanticCustomError("bad_input", "write it as a JSON object") from None


Operator = Annotated[
    dict[str, str | int | float], Field(max_length=8), BeforeValidator(_as_object), WithJsonSchema(OPERATOR_SCHEMA)
]


class Options(In):
    """How images are made; what is left out is the family's default (`GET /v1/levels`)."""

    negative_prompt: str | None = Field(default=None, description="What the image should not show.")
    seed: Seed | None = Field(
        default=None,
        description="Seed of the (first) image, 0 to 2^63-1. Left out or -1: random; the answer says which.",
    )
    width: Whole | None = Field(default=None, description="Pixels; width and height must be one of the family's sizes.")
    height: Whole | None = Field(default=None, description="Pixels.")
    steps: Whole | None = Field(
        default=None, description="Denoising steps asked of `exact`; cheaper levels scale from it."
    )
    guidance: Number | None = Field(default=None, description="Classifier-free guidance scale.")
    level: str | None = Field(
        default=None, max_length=LEVEL_CHARS, description="`auto` (default) or a level's id, which is then kept."
    )
    literal: Flag | None = Field(
        default=None, description="Whether prompts are taken as they are written, without choices (docs/prompts.md)."
    )
    loras: Loras | None = Field(
        default=None,
        description=f"LoRAs of the family to draw with, at most {MOST_LORAS}: objects, or text such as `ink:0.8, oil`. "
        "In prompts: `<lora:ink:0.8>`.",
    )
    image: str | None = Field(
        default=None,
        min_length=1,
        description="The image to begin with: the id of one that `POST /v1/inputs` answered or that was drawn here, or "
        "a PNG, JPEG or WebP file in base64. Resized to cover the size that is drawn, and cut around its centre; "
        "without `width` and `height` that is the family's nearest.",
    )
    mask: str | None = Field(
        default=None,
        min_length=1,
        description="What of `image` is drawn anew, in a picture as large, named or sent as `image` is: what is "
        "transparent in it, else what is white. The rest of the image stays pixel for pixel.",
    )
    second_image: str | None = Field(
        default=None,
        min_length=1,
        description="What `image` is fused with, an infrared picture of the same scene, as large, named or sent alike.",
    )
    operator: Operator | None = Field(
        default=None,
        description='What `image`, as it was measured, went through: it is restored. `{"operator": "blur", '
        '"sigma": 1.5, "size": 13}` (a Gaussian kernel, in pixels), `{"operator": "down", "factor": 4}` (made '
        'smaller), or `{"operator": "mask"}` with a `mask` that is white where nothing is known; each with the '
        "deviation of its `noise`, 0 to 1, of pixels in −1 to 1.",
    )
    kind: Kind | None = Field(
        default=None,
        description="What is made: left out, what the pictures say. `operator` makes it a `restoration`, "
        "`second_image` a `fusion`; a `translation` makes a scene of a sketch or a grey picture, "
        "where the family has a bridge. All three are drawn at the reference level.",
    )
    strength: Strength | None = Field(
        default=None,
        description="How far `image` may be left: the share of the steps that is run. Left out: 0.75, with `mask` 1, "
        "with `upscale` 0.3.",
    )
    upscale: Upscale | None = Field(
        default=None,
        description="Draw `image` so many times as large, in place of `width` and `height`: at the family's nearest "
        "size, which has to be larger than the image.",
    )
    parallel: Parallel | None = Field(
        default=None,
        description="Several devices for one image, or several of its steps at once: `auto` (default), `off`, or a "
        "mode. One that cannot be had then costs nothing: the image's steps are serial, and its attempt says why.",
    )
    min_quality: Share | None = Field(
        default=None,
        description="Lowest relative quality wanted (1 = as good as `exact`); a level below it is not chosen.",
    )


def _as_text(value: Any) -> Any:
    """A whole number as the text that writes it."""
    return str(value) if type(value) is int else value


OwnId = Annotated[
    str,
    BeforeValidator(_as_text),
    WithJsonSchema({"anyOf": [{"type": "string", "maxLength": CUSTOM_ID_CHARS}, {"type": "integer"}]}),
]


class PromptIn(Options):
    """One prompt with options of its own, which win over the job's."""

    prompt: str = Field(description="Text, UTF-8, no control characters.")
    custom_id: OwnId | None = Field(
        default=None,
        validation_alias=AliasChoices("custom_id", "id"),
        description="Your own id of this prompt (or `id`), kept to its results as text: at most "
        f"{CUSTOM_ID_CHARS} characters.",
    )


def _kind(value: Any) -> str:
    return "text" if isinstance(value, str) else "object"


AnyPrompt = Annotated[
    Annotated[str, Tag("text")] | Annotated[PromptIn, Tag("object")],
    Discriminator(_kind),
]


def not_too_many(values: Any, info: ValidationInfo) -> Any:
    """A list before its entries are looked at; raises `TooLarge` beyond ARGUS_MAX_PROMPTS."""
    if isinstance(values, list) and len(values) > settings().max_prompts:
        raise TooLarge(
            f"{len(values):,} entries; at most {settings().max_prompts:,} are taken (ARGUS_MAX_PROMPTS). "
            "Split it into several jobs.",
            field=info.field_name,
        )
    return values


class JobOptions(Options):
    """Options of a whole job."""

    n: AnyWhole = Field(default=1, ge=1, le=10_000, description="Images per prompt, with seeds `seed`, `seed`+1, …")
    deadline_s: Number | None = Field(
        default=None,
        gt=0,
        le=MAX_DEADLINE_S,
        description="Seconds in which the images are wanted. Left out: the SLO, longer for more steps or pixels.",
    )
    start_within_s: Number | None = Field(
        default=None,
        gt=0,
        le=MAX_DEADLINE_S,
        description="Seconds in which an image has to be begun; one that is not fails with `not_started_in_time`. "
        "Left out: it is drawn however late.",
    )
    service_class: ClassName = Field(
        default="interactive",
        description="`interactive` has a latency target; `batch` fills idle capacity within a window.",
    )
    title: str | None = Field(default=None, max_length=TITLE_CHARS, description="A name for people.")
    output: str | None = Field(
        default=None,
        max_length=OUTPUT_CHARS,
        description="An fsspec URL below which the images and their manifest are written once the job is over, into a "
        "folder named by its id: `s3://bucket/prefix`. One that ARGUS_OUTPUT_PREFIXES allows.",
    )
    webhook: str | None = Field(
        default=None, description="An address that is told what becomes of the job (`/v1/webhooks`)."
    )
    webhook_events: EventNames | None = Field(
        default=None, description=f"What `webhook` is told; left out: `job.done`. {TOLD}."
    )


class JobIn(JobOptions):
    """A submission: one `prompt` or many `prompts`, each once for every seed."""

    prompt: str | None = Field(default=None, description="The only prompt. Either this or `prompts`.")
    custom_id: OwnId | None = Field(
        default=None,
        validation_alias=AliasChoices("custom_id", "id"),
        description="Your own id of the only prompt; of several, each has its own in `prompts`.",
    )
    prompts: Annotated[list[AnyPrompt], Field(fail_fast=True), BeforeValidator(not_too_many)] | None = Field(
        default=None, description="Prompts: texts, or objects with options of their own."
    )
    seeds: Annotated[list[Seed], Field(fail_fast=True), BeforeValidator(not_too_many)] | None = Field(
        default=None, min_length=1, description="One image per prompt for each of these seeds."
    )


class FormIn(JobOptions):
    """The same options written as text, as forms send them; blank means left out."""

    model_config = ConfigDict(strict=False)

    @model_validator(mode="before")
    @classmethod
    def _blank_means_left_out(cls, values: Any) -> Any:
        return {name: value for name, value in values.items() if not (isinstance(value, str) and not value.strip())}

    def job(self, **more: Any) -> JobIn:
        """The job these options describe."""
        return JobIn(**{name: getattr(self, name) for name in JobOptions.model_fields}, **more)


class UploadIn(FormIn):
    """A file of prompts, and options for those that say nothing else."""

    file: UploadFile = Field(
        description="CSV or .xlsx with a column `prompt`, or .jsonl, .json, .txt (a prompt a line)."
    )
    service_class: ClassName = Field(default="batch", description="A file is `batch` unless this says `interactive`.")


class KeyIn(BaseModel):
    """A header of submissions."""

    idempotency_key: str | None = Field(
        default=None,
        alias="Idempotency-Key",
        description="A word of yours for this call, 1 to 255 characters of ASCII, kept for a day: sent again with it, "
        "the call is answered with what it made the first time (`Idempotent-Replayed: true`).",
    )


class WaitIn(BaseModel):
    """A header of those who would rather wait."""

    prefer: str | None = Field(
        default=None,
        alias="Prefer",
        description="`wait=10`: answer when the images are there, or after so many seconds (RFC 7240), at most "
        "ARGUS_COMPAT_WAIT_S. `Preference-Applied` says for how long.",
    )


class SubmitIn(WaitIn, KeyIn):
    """Headers of submissions."""
