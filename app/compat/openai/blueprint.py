"""OpenAI's Images API: `POST /v1/images/generations` and `/v1/models`.

Shapes as in https://platform.openai.com/docs/api-reference/images/create and …/models. What a client sends for
OpenAI's own models is taken and left alone (`quality`, `style`, …), unless the image would not be what was asked for:
that, and fields nobody knows, are refused.
"""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint

from app.compat.conventions import set_up
from app.compat.openai.schemas import OpenAIError
from app.schemas.errors import ErrorDetail

blueprint = APIBlueprint("openai", __name__, url_prefix="/v1", tag="OpenAI clients")
# our fields by their names here
FIELDS = {"level": "model", "width": "size", "height": "size", "prompts": "n"}


def _error_body(error: ErrorDetail, status: int) -> dict[str, Any]:
    kind = "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
    body = OpenAIError(message=error.message, type=kind, param=error.field, code=error.code)
    return {"error": body.model_dump()}


set_up(blueprint, _error_body, FIELDS)
