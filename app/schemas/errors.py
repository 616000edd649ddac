"""The bodies of 4xx and 5xx answers: RFC 9457, at our own addresses."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from app.schemas.base import Out


class ErrorDetail(Out):
    """What is wrong, and where."""

    code: str = Field(description="Stable; `docs/errors.md` lists all.")
    message: str
    field: str | None = Field(default=None, description="The part of the input at fault.")


class Problem(Out):
    """What is wrong, where, and what to do (RFC 9457)."""

    type: str = Field(description="The page of this server that says what the code means.")
    title: str = Field(description="The code as words.")
    status: int = Field(description="The answer's HTTP status.")
    detail: str = Field(description="What is wrong in this case, in a sentence or two.")
    instance: str = Field(description="This answer: the address that was called, and the `X-Request-ID` in the logs.")
    code: str = Field(description="Stable; `docs/errors.md` lists all.")
    field: str | None = Field(description="The part of the input at fault.")
    help: str = Field(description="What to do.")
    error: ErrorDetail = Field(description="Code, message (`detail`) and field as before version 0.2.")


ERROR_BODY: dict[str, Any] = {  # of every 4xx and 5xx answer of ours
    **Problem.model_json_schema(),
    "properties": {**Problem.model_json_schema()["properties"], "error": ErrorDetail.model_json_schema()},
}
ERROR_BODY.pop("$defs")
