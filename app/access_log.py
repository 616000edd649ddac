"""A line of log for each HTTP request: who, what, how it ended, how long it took. Never prompts, queries or secrets.

The route stands for the address: what a client writes into an address it made up is not logged. Every line that is
logged meanwhile carries the same `http_id`, and so does the answer (`X-Request-ID`).
"""

from __future__ import annotations

import secrets
import time

import structlog
from apiflask import APIFlask
from flask import Response, g, request

from app.clients import address_of

log = structlog.get_logger("argus.access")
HEADER = "X-Request-ID"
QUIET = ("ops.alive", "ops.ready", "ops.metrics", "static")  # asked every few seconds, or with every page
NO_ROUTE = "(none)"


def register(app: APIFlask) -> None:
    """Log every request of an app; call it before other checks are installed, so that their refusals are logged."""
    app.before_request(_begin)
    app.after_request(_end)


def refused(status: int) -> str:
    """Log a request that the server refused before any app saw it; returns its id."""
    http_id = secrets.token_hex(8)
    log.info("http", route=NO_ROUTE, status=status, http_id=http_id)
    return http_id


def _begin() -> None:
    g.began, g.http_id = time.monotonic(), secrets.token_hex(8)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(http_id=g.http_id)


def _end(response: Response) -> Response:
    if "http_id" in g:
        response.headers[HEADER] = g.http_id
        write = log.debug if request.endpoint in QUIET and response.status_code < 400 else log.info
        ids = {name: str(value) for name, value in (request.view_args or {}).items() if name.endswith("_id")}
        write(
            "http",
            method=request.method,
            route=request.url_rule.rule if request.url_rule else NO_ROUTE,
            status=response.status_code,
            ms=round(1000 * (time.monotonic() - g.began), 1),
            client=address_of(),
            **_key(),
            **ids,
        )
    return response


def _key() -> dict[str, str]:
    """The id of the key that was sent, where one was."""
    who = g.get("caller")
    return {"key": who.key.id} if who and who.key else {}
