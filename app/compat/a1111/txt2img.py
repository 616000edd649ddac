"""`POST /sdapi/v1/txt2img`: draw and wait."""

from __future__ import annotations

import json
from typing import Any

from app.compat.a1111.blueprint import SAMPLER, SOURCE, blueprint
from app.compat.a1111.schemas import A1111Error, Txt2ImgIn, Txt2ImgOut
from app.compat.conventions import REFUSALS, error_responses
from app.compat.drawing import Drawing, draw
from app.schemas.base import json_whole
from app.schemas.requests import RequestOut
from core.families import load_family
from core.settings import settings


@blueprint.post("/txt2img")
@blueprint.input(Txt2ImgIn, arg_name="wanted", example={"prompt": "a red apple", "seed": 7, "batch_size": 2})
@blueprint.output(Txt2ImgOut, description="The images are there")
@blueprint.doc(responses=error_responses(A1111Error.model_json_schema(), REFUSALS))
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


def _used(request: RequestOut) -> dict[str, Any]:
    """What was drawn with, in the web UI's words."""
    return {
        "seed": json_whole(request.seed),
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
        "all_seeds": [json_whole(request.seed) for request in requests],
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
