"""What both APIs do at the edge: take JSON only, answer errors as their clients know them, name the job in a header."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from apiflask import APIBlueprint
from flask import Response, g, json, request

from app.schemas.errors import ErrorDetail
from core.errors import WrongMediaType

Shape = Callable[[ErrorDetail, int], dict[str, Any]]  # an error and its status as the body of an answer
REFUSALS = {
    400: "Not JSON, or a field that cannot be",
    409: "The job was cancelled",
    422: "A value out of range",
    429: "Too many wait already",
    500: "A request failed",
    504: "Not done within ARGUS_COMPAT_WAIT_S; the job goes on",
}


def speak(blueprint: APIBlueprint, shape: Shape, names: Mapping[str, str]) -> None:
    """Have a blueprint take JSON only and answer errors in its API's shape; `names` are its words for our fields."""
    blueprint.before_request(_only_json)
    blueprint.after_request(lambda response: _turn(response, shape, names))


def described(body: dict[str, Any], reasons: Mapping[int, str]) -> dict[int, Any]:
    """The errors of an operation for OpenAPI, by status; `body` is the schema they have."""
    content = {"application/json": {"schema": body}}
    return {status: {"description": reason, "content": content} for status, reason in reasons.items()}


def _only_json() -> None:
    """A page of another site can post plain text without being asked, but not JSON."""
    if request.method == "POST" and request.mimetype != "application/json":
        raise WrongMediaType("Send JSON with `Content-Type: application/json`.")


def _turn(response: Response, shape: Shape, names: Mapping[str, str]) -> Response:
    """Say which job it was; turn what `app/errors.py` answered."""
    submitted = "job_id" in g
    if submitted:
        response.headers["X-Argus-Job"] = str(g.job_id)
    if response.status_code < 400:
        return response
    if submitted:
        response.headers["X-Should-Retry"] = "false"  # OpenAI's clients would send it again, and have it drawn twice
    error = ErrorDetail(**response.get_json()["error"])
    error.field = names.get(error.field or "", error.field)
    response.set_data(json.dumps(shape(error, response.status_code)))
    return response
