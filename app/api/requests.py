"""`/v1/requests`: those that are selected, and everything about one."""

from __future__ import annotations

import uuid
from typing import Any

from apiflask import APIBlueprint

from app.access import needs
from app.preference import wait_as_preferred
from app.records.gallery import nearest_images
from app.records.requests import request_out
from app.records.selection import request_list
from app.schemas.requests import RequestList, RequestOut
from app.schemas.selection import ListIn
from app.schemas.submission import WaitIn
from app.searching import meaning_of
from core.database import transaction
from core.errors import BadInput
from core.keys import Scope
from core.tables import Request

blueprint = APIBlueprint("requests", __name__, url_prefix="/v1/requests", tag="Requests and images")


@blueprint.get("")
@needs(Scope.READ)
@blueprint.input(ListIn, location="query", arg_name="wanted")
@blueprint.output(RequestList)
def list_requests(wanted: ListIn) -> Any:
    """List requests of all jobs, newest first

    Those that are selected: by state, level, class, time, or a text in the prompt. `links.next` goes on where this list
    ends. With `like` those first whose prompt means most nearly that; such a list ends at `limit`.
    """
    if wanted.like is None:
        with transaction() as session:
            return request_list(session, wanted)
    if wanted.after:
        raise BadInput("A list by `like` has no next page: ask for a higher `limit`.", field="after")
    digest = meaning_of(wanted.like)
    with transaction() as session:
        return RequestList(requests=nearest_images(session, wanted, digest, wanted.limit), links={})


@blueprint.get("/<uuid:request_id>")
@needs(Scope.READ)
@blueprint.input(WaitIn, location="headers", arg_name="headers")
@blueprint.output(RequestOut)
def read_request(request_id: uuid.UUID, headers: WaitIn) -> Any:
    """Read a request

    What was asked, which level, model and cache hit it got and why, seed, predicted and measured quality, times,
    attempts, images. With `Prefer: wait=N` once it is done.
    """
    waited = wait_as_preferred(Request.id == request_id)
    with transaction() as session:
        return request_out(session, request_id), 200, waited.headers
