"""`POST /v1/images/generations`: draw and wait."""

from __future__ import annotations

from flask import Response

from app.access import submits
from app.compat.conventions import REFUSALS, error_responses
from app.compat.drawing import draw
from app.compat.openai.answers import call_of
from app.compat.openai.asked import ImagesIn
from app.compat.openai.blueprint import blueprint
from app.compat.openai.names import level_named
from app.compat.openai.schemas import ERROR_BODY, ImagesOut
from app.compat.openai.stream import stream
from app.schemas.submission import KeyIn
from core.families import load_family
from core.settings import settings

EXAMPLES = {
    "an image": {"value": {"prompt": "a red apple on a table", "size": "1024x1024"}},
    "two links, never approximated": {
        "value": {"prompt": "a red apple", "quality": "high", "n": 2, "response_format": "url"}
    },
    "one level, as JPEG": {"value": {"prompt": "a red apple", "model": "exact", "output_format": "jpeg"}},
}
SAID = {status: reason for status, reason in REFUSALS.items() if status != 422}
ERRORS = error_responses(ERROR_BODY, {**SAID, 404: "No such model"})


@blueprint.post("/images/generations")
@submits
@blueprint.input(ImagesIn, arg_name="wanted", examples=EXAMPLES)
@blueprint.input(KeyIn, location="headers", arg_name="key")
@blueprint.output(ImagesOut, description="The images are there")
@blueprint.doc(responses={**ERRORS, 200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}})
def generate(wanted: ImagesIn, key: KeyIn) -> ImagesOut | Response:
    """Draw images and wait for them

    Submits a job and answers when its images are there; `argus` says of each which level drew it and why, in which size
    it was drawn, and which fields were ignored. After ARGUS_COMPAT_WAIT_S the answer is 504, naming the job, which goes
    on. With `stream` the answer is events: `image_generation.partial_image` as often as `partial_images` says, while
    they are drawn, `image_generation.completed` for each image, and `error`.
    """
    family = load_family(settings().family)
    call = call_of(wanted, family, level_named(wanted.model, family))
    if wanted.stream:
        return stream(call)
    return call.images(draw(call.job, "openai"))
