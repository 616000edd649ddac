"""`/v1/inputs`: images to begin with, and masks, sent before the jobs that name them."""

from __future__ import annotations

import uuid
from typing import Any

from apiflask import APIBlueprint, FileSchema
from flask import Response

from app import inputs
from app.access import needs
from app.api.images import NOT_CHANGED, kept_for_good
from app.schemas.inputs import InputIn, InputOut
from core.database import transaction
from core.images import ImageStore
from core.keys import Scope

blueprint = APIBlueprint("inputs", __name__, url_prefix="/v1/inputs", tag="Jobs")


@blueprint.post("")
@needs(Scope.SUBMIT)
@blueprint.input(InputIn, location="form_and_files", arg_name="wanted")
@blueprint.output(InputOut, 201, description="Kept, until a day after it was last used")
@blueprint.doc(responses={413: "Too large", 422: "No picture that can be begun with"})
def send_input(wanted: InputIn) -> Any:
    """Send an image to begin with

    A PNG, JPEG or WebP file: an image that jobs begin with (`image` of `POST /v1/jobs`), or a mask for one. It is kept
    upright, with 8 bits a channel. The same file sent again has the same id.
    """
    found = InputOut.of(inputs.keep(wanted.file.stream.read(), "file"))
    return found, 201, {"Location": found.links["self"]}


@blueprint.get("/<uuid:input_id>")
@needs(Scope.READ, Scope.SUBMIT)
@blueprint.output(FileSchema(type="string", format="binary"), content_type="image/png", description="The file")
@blueprint.doc(responses=NOT_CHANGED)
def read_input(input_id: uuid.UUID) -> Response:
    """Get an image to begin with

    As it is kept, as PNG.
    """
    with transaction() as session:
        found = inputs.find(session, input_id)
    response = kept_for_good(found.sha256, found.created_at, "image/png")
    if response.status_code != 304:
        response.set_data(ImageStore().get(found.key, found.sha256))
    return response
