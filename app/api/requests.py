"""`/v1/requests`: everything about one request."""

from __future__ import annotations

import uuid
from typing import Any

from apiflask import APIBlueprint

from app.access import needs
from app.records.requests import request_out
from app.schemas.requests import RequestOut
from core.database import transaction
from core.keys import Scope

blueprint = APIBlueprint("requests", __name__, url_prefix="/v1/requests", tag="Requests and images")


@blueprint.get("/<uuid:request_id>")
@needs(Scope.READ)
@blueprint.output(RequestOut)
def read_request(request_id: uuid.UUID) -> Any:
    """Read a request

    What was asked, which level, model and cache hit it got and why, seed, predicted and measured quality, times,
    attempts, images.
    """
    with transaction() as session:
        return request_out(session, request_id)
