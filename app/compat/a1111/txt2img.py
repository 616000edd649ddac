"""`POST /sdapi/v1/txt2img` and `img2img`: draw and wait."""

from __future__ import annotations

from base64 import b64encode

from flask import g, request

from app.access import submits
from app.compat.a1111.answers import Txt2ImgOut
from app.compat.a1111.blueprint import ERRORS, SOURCE, blueprint
from app.compat.a1111.checkpoints import level_named
from app.compat.a1111.half_drawn import so_far
from app.compat.a1111.img2img import Img2ImgIn
from app.compat.a1111.info import info, infotext_of, used, written
from app.compat.a1111.options import chosen_level
from app.compat.a1111.schemas import Txt2ImgIn, ignored
from app.compat.drawing import Drawing, draw
from app.rendering import Rendering, render
from app.schemas.base import json_wholes
from app.schemas.submission import JobIn, KeyIn
from app.sizes import Sizes
from core.database import transaction
from core.errors import Cancelled
from core.families import Family, load_family
from core.settings import settings

PREVIEWS = 2  # of each image, for who asks for its progress


@blueprint.post("/txt2img")
@submits
@blueprint.input(Txt2ImgIn, arg_name="wanted", example={"prompt": "a red apple", "seed": 7, "batch_size": 2})
@blueprint.input(KeyIn, location="headers", arg_name="key")
@blueprint.output(Txt2ImgOut, description="The images are there")
@blueprint.doc(responses=ERRORS)
def txt2img(wanted: Txt2ImgIn, key: KeyIn) -> Txt2ImgOut:
    """Draw images and wait for them

    Submits a job and answers when its images are there, in the size that was asked for. After ARGUS_COMPAT_WAIT_S the
    answer is 504, naming the job, which goes on. Interrupted, it answers with the images that are done, and with what
    others looked like at their last preview.
    """
    return drawn(wanted, wanted.sizes(load_family(settings().family)))


@blueprint.post("/img2img")
@submits
@blueprint.input(Img2ImgIn, arg_name="wanted")
@blueprint.input(KeyIn, location="headers", arg_name="key")
@blueprint.output(Txt2ImgOut, description="The images are there")
@blueprint.doc(responses=ERRORS)
def img2img(wanted: Img2ImgIn, key: KeyIn) -> Txt2ImgOut:
    """Draw from an image and wait

    The first of `init_images` is noised by `denoising_strength` and drawn from there; with `mask`, what is white in it
    alone. All else is as at `txt2img`.
    """
    wanted.keep()
    return drawn(wanted, wanted.sizes(load_family(settings().family)))


def drawn(wanted: Txt2ImgIn, sizes: Sizes) -> Txt2ImgOut:
    """The answer to a call, once its images are there."""
    family = load_family(settings().family)
    rendering = Rendering(*sizes.asked, format=wanted.format)
    drawings = _drawn(wanted.job(_level(wanted, family), sizes))
    pngs = [drawing.png() for drawing in drawings]
    texts = [infotext_of(drawing, png) for drawing, png in zip(drawings, pngs, strict=True)]
    sent = request.get_json()
    return Txt2ImgOut(
        images=[_sent(png, rendering) for png in pngs] if wanted.send_images is not False else [],
        parameters=json_wholes({**wanted.model_dump(mode="json"), **used(drawings[0].request, sizes, texts[0])}),
        info=written({**info(wanted, family, drawings, sizes, texts), "argus_ignored": ignored(sent, wanted.READ)}),
    )


def _drawn(job: JobIn) -> list[Drawing]:
    """The job's images; of one that was interrupted or skipped, those that there are so far, if any is."""
    try:
        return draw(job, SOURCE, previews=PREVIEWS)
    except Cancelled:
        if drawings := so_far(g.job_id):
            return drawings
        raise


def _level(wanted: Txt2ImgIn, family: Family) -> str:
    """The level that this call names, else the one that its client chose."""
    if wanted.checkpoint:
        return level_named(wanted.checkpoint, family)
    with transaction() as session:
        return chosen_level(session, family)


def _sent(png: bytes, wanted: Rendering) -> str:
    return b64encode(render(png, wanted)).decode()
