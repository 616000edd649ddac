"""Pages of other sites that may call the API: ARGUS_CORS_ORIGINS, by the protocol that browsers speak (Fetch standard).

A page of a listed origin may submit, read and cancel like any program, without cookies: nothing here ever allows
credentials, and forms want theirs (`app/security.py`). The name that is called has to be known all the same.
"""

from __future__ import annotations

from flask import Response, current_app, request

from core.settings import settings

PATHS = ("/v1/", "/sdapi/", "/openapi.json")
METHODS = "GET, POST, PUT, DELETE"
HEADERS = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Prefer"
QUOTAS = "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Quota-Limit, X-Quota-Remaining, X-Quota-Reset"
EXPOSED = "ETag, Idempotent-Replayed, Location, Preference-Applied, Retry-After, X-Argus-Job, X-Request-ID, " + QUOTAS
MAX_AGE_S = 600
ASKED = "Access-Control-Request-Method"


def allowed_origin() -> str | None:
    """The origin of the page that calls, where it may."""
    origin, known = request.headers.get("Origin"), settings().allowed_origins
    return origin if origin and request.path.startswith(PATHS) and ("*" in known or origin.lower() in known) else None


def answer_preflight() -> Response | None:
    """What a browser asks before it sends what a form could not."""
    if request.method != "OPTIONS" or ASKED not in request.headers or allowed_origin() is None:
        return None
    response: Response = current_app.response_class(status=204)
    response.headers["Access-Control-Allow-Methods"] = METHODS
    wanted = request.headers.get("Access-Control-Request-Headers", "")
    response.headers["Access-Control-Allow-Headers"] = wanted or HEADERS  # clients send what they like: we read ours
    response.headers["Access-Control-Max-Age"] = str(MAX_AGE_S)
    return response


def add_headers(response: Response) -> Response:
    """Let the page read the answer, and the headers that say what to do next."""
    if not settings().allowed_origins or not request.path.startswith(PATHS):
        return response
    response.vary.add("Origin")
    if origin := allowed_origin():
        response.headers["Access-Control-Allow-Origin"] = "*" if "*" in settings().allowed_origins else origin
        response.headers["Access-Control-Expose-Headers"] = EXPOSED
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response
