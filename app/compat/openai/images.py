"""`POST /v1/images/generations`: draw and wait."""

from __future__ import annotations

import time

from flask import url_for

from app.compat.conventions import REFUSALS, error_responses
from app.compat.drawing import Drawing, draw
from app.compat.openai.blueprint import blueprint
from app.compat.openai.schemas import ERROR_BODY, ImagesIn, ImagesOut, Item
from core.families import load_family
from core.settings import settings

EXAMPLES = {
    "a link": {"value": {"prompt": "a red apple on a table"}},
    "two files at one level": {
        "value": {"prompt": "a red apple", "model": "exact", "n": 2, "response_format": "b64_json"}
    },
}


@blueprint.post("/images/generations")
@blueprint.input(ImagesIn, arg_name="wanted", examples=EXAMPLES)
@blueprint.output(ImagesOut, description="The images are there")
@blueprint.doc(responses=error_responses(ERROR_BODY, REFUSALS))
def generate(wanted: ImagesIn) -> ImagesOut:
    """Draw images and wait for them

    Submits a job and answers when its images are there; `argus` says of each which level drew it and why. After
    ARGUS_COMPAT_WAIT_S the answer is 504, naming the job, which goes on.
    """
    drawings = draw(wanted.job(load_family(settings().family)), "openai")
    return ImagesOut(created=int(time.time()), data=[_item(drawing, wanted) for drawing in drawings])


def _item(drawing: Drawing, wanted: ImagesIn) -> Item:
    prompt, origin = drawing.request.prompt, drawing.origin
    item = Item(argus=origin, revised_prompt=prompt if prompt != wanted.prompt else None)
    if wanted.response_format == "b64_json":
        item.b64_json = drawing.base64()
    else:
        item.url = url_for("images.read_image", image_id=origin.image_id, _external=True)
    return item
