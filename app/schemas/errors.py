"""The body of every 4xx and 5xx answer."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from app.schemas.base import Out


class ErrorDetail(Out):
    """What is wrong, where, and what to do."""

    code: str = Field(description="Stable; `docs/errors.md` lists all.")
    message: str
    field: str | None = Field(default=None, description="The part of the input at fault.")


ERROR_BODY: dict[str, Any] = {  # of every 4xx and 5xx answer
    "type": "object",
    "properties": {"error": ErrorDetail.model_json_schema()},
    "required": ["error"],
}
