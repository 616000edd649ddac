"""A call on a line of a batch: into the rows it asks for, and its images into the answer that it would have had."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from app.compat.drawing import Drawing
from app.compat.openai.answers import Call, call_of
from app.compat.openai.asked import ImagesIn
from app.compat.openai.blueprint import WORDS
from app.compat.openai.names import level_named
from app.schemas.errors import ErrorDetail
from app.submission import input_error, rows_of
from core.errors import ArgusError, BadInput
from core.families import Family


def rows_for(body: dict[str, Any], family: Family) -> list[dict[str, Any]]:
    """The columns of each request that a call asks for; raises `ArgusError` as the call would."""
    return rows_of(_call(body, family).job, family)


def answer_to(body: dict[str, Any], drawings: Sequence[Drawing], family: Family) -> dict[str, Any]:
    """The body of the answer to a call whose images are there; within an HTTP request, for links."""
    return _call(body, family).images(drawings).model_dump(mode="json")


def refusal(error: ArgusError) -> dict[str, Any]:
    """Status and body of the answer to a call that cannot be drawn."""
    body, status = WORDS.tell(ErrorDetail.model_validate(error), error.status)
    return {"status_code": status, "body": body}


def _call(body: dict[str, Any], family: Family) -> Call:
    if body.get("stream"):
        raise BadInput("Nobody listens to the stream of a batch: leave `stream` out.", field="stream")
    try:
        wanted = ImagesIn.model_validate(body)
    except ValidationError as error:
        raise input_error(error) from None
    return call_of(wanted, family, level_named(wanted.model, family))
