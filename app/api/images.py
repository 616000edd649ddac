"""`/v1/images`: the PNG files, and what else is made of them."""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime
from typing import Any

from apiflask import APIBlueprint, FileSchema
from flask import Response, request

from app.access import needs
from app.records.images import find_image
from app.rendering import Format, Rendering, render
from app.schemas.images import RenderIn, SizedIn
from core.database import transaction
from core.images import ImageStore
from core.keys import Scope
from core.tables import Image

blueprint = APIBlueprint("images", __name__, url_prefix="/v1/images", tag="Requests and images")
FILE = {"schema": {"type": "string", "format": "binary"}}
NOT_CHANGED: dict[int | str, Any] = {304: {"description": "The one you have (`If-None-Match`)"}}
ANSWERS: dict[int | str, Any] = {200: {"content": {"image/jpeg": FILE, "image/webp": FILE}}, **NOT_CHANGED}


@blueprint.get("/<uuid:image_id>")
@needs(Scope.READ)
@blueprint.input(RenderIn, location="query", arg_name="wanted")
@blueprint.output(FileSchema(type="string", format="binary"), content_type="image/png", description="The file")
@blueprint.doc(responses=ANSWERS)
def read_image(image_id: uuid.UUID, wanted: RenderIn) -> Response:
    """Get an image

    The image as PNG, with prompt, seed and level in its text chunks; or resized, as JPEG or as WebP, with the same text
    in its EXIF data. It never changes: keep it.
    """
    return _answer(image_id, wanted.rendering(wanted.format))


@blueprint.get("/<uuid:image_id>.<any(png, jpeg, webp):format>")
@needs(Scope.READ)
@blueprint.input(SizedIn, location="query", arg_name="wanted")
@blueprint.output(FileSchema(type="string", format="binary"), content_type="image/png", description="The file")
@blueprint.doc(responses=ANSWERS)
def read_image_file(image_id: uuid.UUID, format: Format, wanted: SizedIn) -> Response:
    """Get an image by the name of a file

    The same, in the format that the ending says: clients name files by it.
    """
    return _answer(image_id, wanted.rendering(format))


@blueprint.get("/<uuid:image_id>/thumbnail")
@needs(Scope.READ)
@blueprint.output(FileSchema(type="string", format="binary"), content_type="image/webp", description="The file")
@blueprint.doc(responses=NOT_CHANGED)
def read_thumbnail(image_id: uuid.UUID) -> Response:
    """Get a thumbnail

    A WebP of at most 256 pixels a side, made when the image was stored. It never changes: keep it.
    """
    with transaction() as session:
        image = find_image(session, image_id)
    response = kept_for_good(f"{image.sha256}-thumbnail", image.created_at, "image/webp")
    if response.status_code != 304:
        response.set_data(ImageStore().thumbnail(image.key, image.sha256))
    return response


def _answer(image_id: uuid.UUID, rendering: Rendering) -> Response:
    """The file, or that the client has it."""
    with transaction() as session:
        image = find_image(session, image_id)
    response = kept_for_good(_tag(image, rendering), image.created_at, rendering.mimetype)
    response.headers["Content-Disposition"] = f'inline; filename="{image_id}.{rendering.format}"'
    if response.status_code != 304:
        response.set_data(render(ImageStore().get(image.key, image.sha256), rendering))
    return response


def kept_for_good(tag: str, made_at: datetime, mimetype: str) -> Response:
    """An answer that clients keep for good, still empty; 304 for one who has it."""
    response = Response(mimetype=mimetype)
    response.set_etag(tag)
    response.last_modified = made_at
    response.cache_control.private, response.cache_control.max_age = True, 31_536_000
    response.cache_control.immutable = True
    if request.if_none_match.contains(tag):
        response.status_code = 304
    return response


def _tag(image: Image, rendering: Rendering) -> str:
    """What changes when the file does."""
    if rendering.as_drawn:
        return image.sha256
    return hashlib.sha256(f"{image.sha256} {rendering}".encode()).hexdigest()
