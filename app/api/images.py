"""`/v1/images`: the PNG files."""

from __future__ import annotations

import uuid

from apiflask import APIBlueprint, FileSchema
from flask import Response, request

from app.records.images import find_image
from core.database import transaction
from core.images import ImageStore

blueprint = APIBlueprint("images", __name__, url_prefix="/v1/images", tag="Requests and images")


@blueprint.get("/<uuid:image_id>")
@blueprint.output(FileSchema(type="string", format="binary"), content_type="image/png", description="A PNG file")
@blueprint.doc(responses={304: "The one you have (`If-None-Match`)"})
def read_image(image_id: uuid.UUID) -> Response:
    """Get an image

    The image as PNG, with prompt, seed and level in its text chunks. It never changes: keep it.
    """
    with transaction() as session:
        image = find_image(session, image_id)
    response = Response(mimetype="image/png")
    response.set_etag(image.sha256)
    response.last_modified = image.created_at
    response.cache_control.private, response.cache_control.max_age = True, 31_536_000
    response.cache_control.immutable = True
    response.headers["Content-Disposition"] = f'inline; filename="{image_id}.png"'
    if request.if_none_match.contains(image.sha256):
        response.status_code = 304
    else:
        response.set_data(ImageStore().get(image.key, image.sha256))
    return response
