"""OpenAI's Images API: `POST /v1/images/generations` and `/v1/models`.

Shapes as in the types of the package `openai` 3.57: https://platform.openai.com/docs/api-reference/images/create and
…/models. What a client sends beyond that is sorted by `fields.py`.
"""

from __future__ import annotations

import re
from typing import Any

from apiflask import APIBlueprint

from app.compat.conventions import Words, set_up
from app.compat.openai.schemas import OpenAIError
from app.schemas.errors import ErrorDetail

blueprint = APIBlueprint("openai", __name__, url_prefix="/v1", tag="OpenAI clients")
forms = APIBlueprint("openai_forms", __name__, url_prefix="/v1", tag="OpenAI clients")  # what takes no JSON
ADDRESSES = ("/v1/images", "/v1/models", "/v1/files", "/v1/batches")
STATUSES = {422: 400}  # to its clients, what is wrong with a request is a `BadRequestError`
TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def error_body(error: ErrorDetail, status: int) -> dict[str, Any]:
    """The body of an error answer, and of an error in a stream."""
    kind = "server_error" if status >= 500 else TYPES.get(status, "invalid_request_error")
    body = OpenAIError(message=error.message, type=kind, param=error.field, code=error.code)
    return {"error": body.model_dump()}


OURS_TO_READ = re.compile("/v1/images/(?!generations|edits|variations)")
WORDS = Words(ADDRESSES, error_body, statuses=STATUSES, ours_to_read=OURS_TO_READ)
set_up(blueprint, WORDS)
