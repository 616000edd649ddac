"""The API of AUTOMATIC1111's web UI: `POST /sdapi/v1/txt2img`, and what its clients ask before and meanwhile.

Shapes as in https://github.com/AUTOMATIC1111/stable-diffusion-webui, modules/api. Its clients send dozens of fields:
those that mean nothing here are ignored, those that would have made another image are refused unless they are off.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Literal

from apiflask import APIBlueprint
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from app import records
from app.compat.drawing import Drawing, draw, level_of, model_names
from app.compat.wire import REFUSALS, described, speak
from app.schemas import MAX_SEED, ErrorDetail, JobIn, Out, RequestOut
from core.database import transaction
from core.families import Family, load_family
from core.settings import settings
from core.tables import OPEN_STATES, Job, Request

blueprint = APIBlueprint("a1111", __name__, url_prefix="/sdapi/v1", tag="AUTOMATIC1111's shape")
SOURCE = "a1111"
SAMPLER = "Automatic"  # each level brings its own
RANDOM = -1
OUR_FIELDS = {"guidance": "cfg_scale", "level": "override_settings.sd_model_checkpoint", "prompts": "n_iter"}
IDLE: dict[str, Any] = {
    **{"skipped": False, "interrupted": False, "job": "", "job_count": 0, "job_no": 0, "job_timestamp": "0"},
    **{"sampling_step": 0, "sampling_steps": 0},
}
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
    seed: int | None = Field(default=RANDOM, ge=RANDOM, le=MAX_SEED, description="Of the first image; -1 is drawn.")
    steps: int | None = None
    cfg_scale: float | None = None
    width: int | None = None
    height: int | None = None
    batch_size: int = Field(default=1, ge=1, le=8)
    n_iter: int = Field(default=1, ge=1, le=8, description="There are `batch_size` × `n_iter` images.")
    sampler_name: str | None = Field(default=None, description="Ignored: each level brings its own.")
    override_settings: Overrides | None = None
    enable_hr: Off = None
    restore_faces: Off = None
    tiling: Off = None
    subseed_strength: float | None = Field(default=None, ge=0, le=0)
    styles: list[str] | None = Field(default=None, max_length=0)
    script_name: Literal["", "None"] | None = None
    alwayson_scripts: dict[str, Any] | None = Field(default=None, max_length=0)

    def job(self, family: Family) -> JobIn:
        """The job that this asks for."""
        checkpoint = self.override_settings.sd_model_checkpoint if self.override_settings else None
        return JobIn(
            prompt=self.prompt,
            negative_prompt=self.negative_prompt,
            seed=None if self.seed == RANDOM else self.seed,
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


@blueprint.post("/txt2img")
@blueprint.input(Txt2ImgIn, arg_name="wanted", example={"prompt": "a red apple", "seed": 7, "batch_size": 2})
@blueprint.output(Txt2ImgOut, description="The images are there")
@blueprint.doc(responses=described(A1111Error.model_json_schema(), REFUSALS))
def txt2img(wanted: Txt2ImgIn) -> Txt2ImgOut:
    """Draw images and wait for them

    Submits a job and answers when its images are there. After ARGUS_COMPAT_WAIT_S the answer is 504, naming the job,
    which goes on.
    """
    drawings = draw(wanted.job(load_family(settings().family)), SOURCE)
    used = _used(drawings[0].request)
    return Txt2ImgOut(
        images=[drawing.base64() for drawing in drawings],
        parameters={**wanted.model_dump(mode="json"), **used},
        info=json.dumps({**used, "batch_size": wanted.batch_size, **_info(drawings)}),
    )


@blueprint.get("/sd-models")
@blueprint.output(list[SdModel])  # type: ignore[arg-type]  # APIFlask takes lists; its types do not say so
def list_models() -> list[SdModel]:
    """List models

    The family served, of which Argus chooses a level, and each of its levels.
    """
    names = model_names(load_family(settings().family))
    return [SdModel(title=name, model_name=name, filename=name) for name in names]


@blueprint.get("/samplers")
@blueprint.output(list[Sampler])  # type: ignore[arg-type]  # APIFlask takes lists; its types do not say so
def list_samplers() -> list[Sampler]:
    """List samplers

    One name: each level brings its own sampler.
    """
    return [Sampler(name=SAMPLER)]


@blueprint.get("/options")
@blueprint.output(OptionsOut)
def read_options() -> OptionsOut:
    """Read options

    The model is always the family: name a level in `override_settings` of a call.
    """
    return _options()


@blueprint.post("/options")
@blueprint.output(OptionsOut, description="Nothing was changed; the options in force")
def write_options() -> OptionsOut:
    """Change nothing

    Here options are everybody's: they stay as they are. Name a level in `override_settings` of a call.
    """
    return _options()


@blueprint.get("/progress")
@blueprint.output(ProgressOut)
def read_progress() -> ProgressOut:
    """Read progress

    Of everything that was sent to `txt2img`; a job's own progress is in `/v1/jobs`.
    """
    waiting = select(Request.job_id).join(Job).where(Job.source == SOURCE, Request.state.in_(OPEN_STATES)).distinct()
    with transaction() as session:
        counts = sum(records.counts_of(session, session.scalars(waiting)).values(), Counter[str]())
    unfinished = sum(counts[state] for state in OPEN_STATES)
    progress = 1.0 - unfinished / counts.total() if unfinished else 0.0
    return ProgressOut(progress=progress, state={**IDLE, "job_count": unfinished})


@blueprint.get("/cmd-flags")
@blueprint.doc(responses={200: "Flags"})
def read_flags() -> dict[str, Any]:
    """Read command-line flags

    What clients look for: that the API is on.
    """
    return {"api": True, "nowebui": False}


def _options() -> OptionsOut:
    return OptionsOut(sd_model_checkpoint=load_family(settings().family).id)


def _used(request: RequestOut) -> dict[str, Any]:
    """What was drawn with, in the web UI's words."""
    return {
        "seed": request.seed,
        "steps": request.steps,
        "cfg_scale": request.guidance,
        "width": request.width,
        "height": request.height,
        "sampler_name": SAMPLER,
    }


def _info(drawings: list[Drawing]) -> dict[str, Any]:
    """What the web UI keeps of its images, and what Argus says of them."""
    first, requests = drawings[0], [drawing.request for drawing in drawings]
    return {
        "prompt": first.request.prompt,
        "all_prompts": [request.prompt for request in requests],
        "negative_prompt": first.request.negative_prompt,
        "all_negative_prompts": [request.negative_prompt for request in requests],
        "all_seeds": [request.seed for request in requests],
        "sd_model_name": first.origin.level,
        "infotexts": [_infotext(drawing) for drawing in drawings],
        "argus": [drawing.origin.model_dump(mode="json") for drawing in drawings],
    }


def _infotext(drawing: Drawing) -> str:
    """Prompt, negative prompt and parameters, as the web UI writes them under an image."""
    request, origin = drawing.request, drawing.origin
    said = {
        "Steps": request.steps,
        "Sampler": SAMPLER,
        "CFG scale": f"{request.guidance:g}",
        "Seed": request.seed,
        "Size": f"{request.width}x{request.height}",
        "Model": origin.model,
        "Argus level": origin.level,
        "Argus request": origin.request_id,
    }
    negative = [f"Negative prompt: {request.negative_prompt}"] if request.negative_prompt else []
    return "\n".join([request.prompt, *negative, ", ".join(f"{name}: {value}" for name, value in said.items())])


def _error(error: ErrorDetail, _status: int) -> dict[str, Any]:
    place = f"{error.field}: " if error.field else ""
    return A1111Error(error=error.code, detail=error.message, errors=f"{place}{error.message}").model_dump()


speak(blueprint, _error, OUR_FIELDS)
