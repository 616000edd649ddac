"""What both APIs share: they take JSON, tell of errors as their clients know them, and name the job in a header."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apiflask import APIBlueprint
from flask import Response, g, json, request

from app import idempotency
from app.schemas.errors import ErrorDetail
from core.errors import TookTooLong, WrongMediaType

ErrorBody = Callable[[ErrorDetail, int], dict[str, Any]]  # the body of an answer for an error and its status
REFUSALS = {
    400: "Not JSON, or a field with a value it cannot have",
    409: "The job was cancelled",
    422: "A value out of range",
    429: "Too many wait for images already",
    500: "A request failed",
    504: "Not done within ARGUS_COMPAT_WAIT_S; the job goes on",
}


@dataclass(frozen=True)
class Words:
    """How an API tells of errors, at the addresses that begin like this, whether there is such an address or not.

    `fields` maps the names of our fields to those of the API, `statuses` our statuses to its own; what is read at
    addresses like `ours_to_read` is our own API's.
    """

    addresses: tuple[str, ...]
    body: ErrorBody
    fields: Mapping[str, str] = field(default_factory=dict)
    statuses: Mapping[int, int] = field(default_factory=dict)
    ours_to_read: re.Pattern[str] | None = None

    def tell(self, error: ErrorDetail, status: int) -> tuple[dict[str, Any], int]:
        """Body and status of an error."""
        status = self.statuses.get(status, status)
        named = error.model_copy(update={"field": self.fields.get(error.field or "", error.field)})
        return self.body(named, status), status


_SPOKEN: list[Words] = []


def speak(words: Words) -> None:
    """Have errors at these addresses told so; again the same changes nothing."""
    if words not in _SPOKEN:
        _SPOKEN.append(words)


def words_at(path: str, method: str) -> Words | None:
    """How errors are told at an address; none where it is ours."""
    found = next((words for words in _SPOKEN if path.startswith(words.addresses)), None)
    if found and found.ours_to_read and method in ("GET", "HEAD") and found.ours_to_read.match(path):
        return None
    return found


def set_up(blueprint: APIBlueprint, words: Words) -> None:
    """Have a blueprint take JSON only, name the job, and tell of errors in its API's words."""
    speak(words)
    blueprint.before_request(_only_json)
    blueprint.after_request(_name_job)
    blueprint.after_app_request(lambda response: _told(response, words))


def error_responses(body: dict[str, Any], reasons: Mapping[int, str]) -> dict[int, Any]:
    """The errors of an operation for OpenAPI, by status; `body` is the schema they have."""
    content = {"application/json": {"schema": body}}
    return {status: {"description": reason, "content": content} for status, reason in reasons.items()}


def _only_json() -> None:
    """A page of another site can post plain text without being asked, but not JSON. No body needs no type."""
    empty = not request.mimetype and not request.content_length
    if request.method == "POST" and not empty and request.mimetype != "application/json":
        raise WrongMediaType("Send JSON with `Content-Type: application/json`.")


def _name_job(response: Response) -> Response:
    if "job_id" in g:
        response.headers["X-Argus-Job"] = str(g.job_id)
        if response.status_code >= 400 and idempotency.HEADER not in request.headers:
            joins = response.status_code == TookTooLong.status and idempotency.TRIES in request.headers
            response.headers["X-Should-Retry"] = str(joins).lower()  # else it would be drawn twice
    return response


def _told(response: Response, words: Words) -> Response:
    """Give an error that `app/errors.py` answered the API's own body and status."""
    if response.status_code >= 400 and words_at(request.path, request.method) == words:
        error = ErrorDetail(**response.get_json()["error"])
        body, response.status_code = words.tell(error, response.status_code)
        response.set_data(json.dumps(body))
        response.mimetype = "application/json"
    return response
