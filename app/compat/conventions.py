"""What both APIs share: they take JSON only, answer errors as their clients know them, and name the job in a header."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from apiflask import APIBlueprint
from flask import Response, g, json, request

from app import idempotency
from app.schemas.errors import ErrorDetail
from core.errors import WrongMediaType

ErrorBody = Callable[[ErrorDetail, int], dict[str, Any]]  # the body of an answer for an error and its status
REFUSALS = {
    400: "Not JSON, or a field with a value it cannot have",
    409: "The job was cancelled",
    422: "A value out of range",
    429: "Too many wait for images already",
    500: "A request failed",
    504: "Not done within ARGUS_COMPAT_WAIT_S; the job goes on",
}


def set_up(blueprint: APIBlueprint, error_body: ErrorBody, fields: Mapping[str, str]) -> None:
    """Have a blueprint take JSON only and answer errors as its API does.

    `fields` maps the names of our fields to those of the API.
    """
    blueprint.before_request(_only_json)
    blueprint.after_request(lambda response: _finished(response, error_body, fields))


def error_responses(body: dict[str, Any], reasons: Mapping[int, str]) -> dict[int, Any]:
    """The errors of an operation for OpenAPI, by status; `body` is the schema they have."""
    content = {"application/json": {"schema": body}}
    return {status: {"description": reason, "content": content} for status, reason in reasons.items()}


def _only_json() -> None:
    """A page of another site can post plain text without being asked, but not JSON."""
    if request.method == "POST" and request.mimetype != "application/json":
        raise WrongMediaType("Send JSON with `Content-Type: application/json`.")


def _finished(response: Response, error_body: ErrorBody, fields: Mapping[str, str]) -> Response:
    """Name the job, and give an error that `app/errors.py` answered the API's own body."""
    submitted = "job_id" in g
    if submitted:
        response.headers["X-Argus-Job"] = str(g.job_id)
        response.headers.update(idempotency.headers())
    if response.status_code < 400:
        return response
    if submitted and idempotency.HEADER not in request.headers:
        response.headers["X-Should-Retry"] = "false"  # OpenAI's clients would send it again, and have it drawn twice
    error = ErrorDetail(**response.get_json()["error"])
    error.field = fields.get(error.field or "", error.field)
    response.set_data(json.dumps(error_body(error, response.status_code)))
    return response
