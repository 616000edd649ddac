"""How errors are answered: JSON for programs, a page for people."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import structlog
from apiflask import APIFlask, HTTPError
from flask import Response, g, jsonify, make_response, redirect, render_template, request, url_for
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from app.access import NOBODY
from app.links import link, root
from app.ops.refusals import REFUSED
from app.security import FORM_BYTES
from app.submission import input_error
from core.database import AWAY
from core.errors import (
    PROBLEM_TYPE,
    ArgusError,
    BadInput,
    Forbidden,
    NotFound,
    ServiceDown,
    TooLarge,
    TooOften,
    Unauthorized,
    WrongMediaType,
    WrongMethod,
)
from core.settings import settings

log = structlog.get_logger(__name__)
BY_STATUS: dict[int, type[ArgusError]] = {
    kind.status: kind for kind in (BadInput, Forbidden, NotFound, WrongMethod, TooLarge, WrongMediaType, TooOften)
}
KEPT_HEADERS = ("Allow", "Retry-After")
BY_PASSWORD = ("/sdapi/", "/internal/", "/queue/", "/login_check")  # of the web UI, whose clients know no other way
FOR_PROGRAMS = ("/v1/", "/sdapi/", "/controlnet/", "/internal/", "/queue/")


def register(app: APIFlask) -> None:
    """Every error of this app leaves through `answer`."""
    app.register_error_handler(ArgusError, answer)
    for lost in AWAY:
        app.register_error_handler(lost, _database_away)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(HTTPError, _validation)


def answer(error: ArgusError) -> Response:
    """The error as a problem in JSON, or as a page where a browser asked for one.

    Who called is told by what is known by now: to find out may be what failed.
    """
    g.setdefault("caller", NOBODY)
    if error.status == Unauthorized.status and wants_page():
        return make_response(ask_to_sign_in())
    response = make_response(render_template("error.html", error=error) if wants_page() else _problem(error))
    response.status_code = error.status
    if error.status == Unauthorized.status:
        way = "Basic" if request.path.startswith(BY_PASSWORD) else "Bearer"
        response.headers["WWW-Authenticate"] = f'{way} realm="Argus"'
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    if error.status == TooOften.status:
        REFUSED.labels(error.code).inc()
    return response


def ask_to_sign_in() -> Any:
    """Lead to the form that asks for a key, and from there back; a part of a page leads the whole of it there."""
    part = "HX-Request" in request.headers
    back = None if part or request.method != "GET" else link(request.full_path.rstrip("?"))
    place = url_for("web.sign_in", next=back)
    return ("", Unauthorized.status, {"HX-Redirect": place}) if part else redirect(place, 303)


def _problem(error: ArgusError) -> Response:
    """The error by RFC 9457. Its instance is the address that was called and the id of its lines in the logs."""
    response = jsonify(error.as_problem(f"{link(quote(request.path))}#{g.get('http_id', '')}", root()))
    response.mimetype = PROBLEM_TYPE
    return response


def wants_page() -> bool:
    """Whether a person with a browser looks at this address."""
    return not request.path.startswith(FOR_PROGRAMS) and request.accept_mimetypes.accept_html


def _validation(error: HTTPError) -> Any:
    """An error of APIFlask's validation, as one of ours."""
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        return answer(input_error(cause))
    return answer(_of_status(error.status_code, error.message or "This cannot be done."))


def _database_away(error: Exception) -> Response:
    log.warning("database away", error=str(getattr(error, "orig", error)))
    return answer(ServiceDown("PostgreSQL cannot be reached. Start it again (`make up`) and retry."))


def _http(error: HTTPException) -> Any:
    """Errors of werkzeug and Flask, and redirects, which are none."""
    status = error.code or 500
    if status < 400:
        return error
    response = answer(_of_status(status, error.description or error.name))
    for name, value in error.get_headers():
        if name in KEPT_HEADERS:
            response.headers[name] = value
    return response


def _of_status(status: int, message: str) -> ArgusError:
    if status == TooLarge.status:
        return TooLarge(
            f"More than {settings().max_upload_mb} MB in one request (ARGUS_MAX_UPLOAD_MB), or "
            f"{FORM_BYTES // 1_000_000} MB in the fields of a form. Split it into several, or send a file."
        )
    if status >= 500:
        return ArgusError("Something went wrong inside Argus.")
    return BY_STATUS.get(status, BadInput)(message)
