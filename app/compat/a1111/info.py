"""`info` of an answer: what the web UI keeps of its images (modules/processing.py, `Processed.js`), and of Argus."""

from __future__ import annotations

import io
import json
from typing import Any

from PIL import Image as Pictures

from app.compat.a1111.schemas import Txt2ImgIn
from app.compat.drawing import Drawing
from app.schemas.requests import RequestOut
from app.sizes import Sizes
from core.families import Family
from core.infotext import NAME, infotext, program, read_infotext
from core.numbers import MAX_SEED, RANDOM, json_whole

TIMESTAMP = "%Y%m%d%H%M%S"
WITHOUT: dict[str, Any] = {  # what the web UI says of an image that was made without its extras
    **{"subseed_strength": 0, "restore_faces": False, "face_restoration_model": None, "sd_vae_name": None},
    **{"sd_vae_hash": None, "seed_resize_from_w": 0, "seed_resize_from_h": 0},
    **{"extra_generation_params": {}, "index_of_first_image": 0, "styles": [], "clip_skip": 1},
    **{"is_using_inpainting_conditioning": False},
}


def used(request: RequestOut, sizes: Sizes, text: str) -> dict[str, Any]:
    """What was drawn with, in the web UI's words."""
    return {
        "seed": json_whole(request.seed),
        "steps": request.steps,
        "cfg_scale": request.guidance,
        "width": sizes.asked[0],
        "height": sizes.asked[1],
        "sampler_name": read_infotext(text).get("Sampler", "Automatic"),
    }


def info(wanted: Txt2ImgIn, family: Family, drawings: list[Drawing], sizes: Sizes, texts: list[str]) -> dict[str, Any]:
    """The parts of `info`; `texts` are the infotexts of the images."""
    first, requests = drawings[0], [drawing.request for drawing in drawings]
    subseeds = _subseeds(wanted, requests)
    return {
        "prompt": first.request.prompt,
        "all_prompts": [request.prompt for request in requests],
        "negative_prompt": first.request.negative_prompt,
        "all_negative_prompts": [request.negative_prompt for request in requests],
        **used(first.request, sizes, texts[0]),
        "all_seeds": [json_whole(request.seed) for request in requests],
        "subseed": subseeds[0],
        "all_subseeds": subseeds,
        "batch_size": wanted.batch_size or 1,
        **WITHOUT,
        "denoising_strength": first.request.strength,
        "sd_model_name": first.origin.level,
        "sd_model_hash": family.models[first.origin.model].short_hash or "",
        "infotexts": texts,
        "job_timestamp": f"{first.request.times.accepted_at:{TIMESTAMP}}",
        "version": program(),
        "argus": [drawing.origin.model_dump(mode="json") for drawing in drawings],
        "argus_native_size": f"{sizes.native[0]}x{sizes.native[1]}",
    }


def infotext_of(drawing: Drawing, png: bytes) -> str:
    """What the file says of itself; of one drawn before files said it, what its record does."""
    with Pictures.open(io.BytesIO(png)) as picture:
        written = picture.info.get(NAME)
    return str(written) if written else _from_record(drawing)


def _from_record(drawing: Drawing) -> str:
    request, origin = drawing.request, drawing.origin
    parameters = {
        "Steps": next((one.steps_run for one in reversed(request.attempts) if one.steps_run), request.steps),
        "Sampler": "Automatic",
        "CFG scale": f"{request.guidance:g}",
        "Seed": request.seed,
        "Size": f"{request.width}x{request.height}",
        "Model": origin.model,
        "Argus level": origin.level,
        "Argus request": origin.request_id,
    }
    return infotext(request.prompt, request.negative_prompt, parameters)


def _subseeds(wanted: Txt2ImgIn, requests: list[RequestOut]) -> list[int | str]:
    """They mean nothing while their strength is 0: as sent, counting up, else those of the images."""
    if wanted.subseed in (None, RANDOM):
        return [json_whole(request.seed) for request in requests]
    return [json_whole(min((wanted.subseed or 0) + place, MAX_SEED)) for place in range(len(requests))]


def written(parts: dict[str, Any]) -> str:
    """`info` as the web UI answers it: JSON inside JSON."""
    return json.dumps(parts, ensure_ascii=False)
