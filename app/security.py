"""Against requests from other sites' pages: known names, headers, same-site checks, a token in forms; and a limit of
submissions.

Argus listens on the loopback address by default, where any page that the user's browser shows could still post to it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any, cast
from urllib.parse import urlsplit

from apiflask import APIFlask
from flask import Response, g, request
from flask_limiter import Limiter

from app.access import SUBMITS, caller
from app.clients import actor_of
from app.cors import add_headers as add_cors_headers
from app.cors import allowed_origin, answer_preflight
from app.keyring import KEYRING
from app.links import root
from core.errors import BadInput, Forbidden, ServiceDown, TooLarge, WrongMediaType
from core.services import broker_url
from core.settings import settings

COOKIE = FIELD = "argus_token"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
POLICY = {
    "default-src": "'self'",
    "img-src": "'self' data:",
    "style-src": "'self'",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
STYLED_INLINE = ("web.docs",)  # RapiDoc styles its elements inline; scripts stay ours alone
FORM_BYTES = 4_000_000  # of a form's fields; files may be as long as bodies
URLENCODED, URLENCODED_BYTES = "application/x-www-form-urlencoded", 250_000
PROBES = ("ops.alive", "ops.ready")


def register(app: APIFlask) -> None:
    """Install checks and headers; call it after the routes are there."""
    app.before_request(refuse_other_names)
    app.before_request(answer_preflight)
    app.before_request(refuse_nul)
    app.before_request(refuse_costly_forms)
    app.before_request(refuse_other_sites)
    app.after_request(add_headers)
    app.after_request(add_cors_headers)
    app.jinja_env.globals["form_token"] = form_token
    _limit(app)


def refuse_other_names() -> None:
    """Refuse calls by a name that is not in ARGUS_HOSTS; raises `Forbidden`.

    A page of another site can have its own name resolve to this machine (DNS rebinding): to the browser its requests
    then come from the same site. Probes call by any address, and learn nothing.
    """
    if request.endpoint in PROBES:
        return
    called = (urlsplit(f"//{request.host}").hostname or "").lower()
    if not any(_is_called(called, known) for known in settings().known_hosts):
        raise Forbidden(f"This Argus is not called {called[:80]!r}. Add the name to ARGUS_HOSTS.", field="Host")


def _is_called(called: str, known: str) -> bool:
    return known in ("*", called) or (known.startswith(".") and f".{called}".endswith(known))


def refuse_nul() -> None:
    """Refuse addresses and queries with a character that PostgreSQL cannot store; raises `BadInput`."""
    _without_nul([*(request.view_args or {}).items(), *request.args.items(multi=True)])


def _without_nul(said: Iterable[tuple[str, object]]) -> None:
    """Raise `BadInput`, naming the parameter or field, where there is such a character."""
    for name, value in said:
        if "\0" in f"{name}{value}":
            raise BadInput("The value has a NUL character.", field=name.replace("\0", ""))


def refuse_costly_forms() -> None:
    """Refuse long forms in the coding that takes a hundred times its size to read; raises `TooLarge`."""
    if request.mimetype == URLENCODED and (request.content_length or 0) > URLENCODED_BYTES:
        raise TooLarge("Send a form of this size as `multipart/form-data`.")


def refuse_other_sites() -> None:
    """Refuse what a browser sends on behalf of another site's page; raises `Forbidden`."""
    if request.method in SAFE_METHODS:
        return
    site = request.headers.get("Sec-Fetch-Site", "none")
    origin = request.headers.get("Origin")
    if allowed_origin():
        return
    ours = (request.host, urlsplit(settings().public_url).netloc)
    if site not in ("same-origin", "none") or (origin and urlsplit(origin).netloc not in ours):
        raise Forbidden("This came from a page of another site.")


def refuse_all_but_json(needed: bool = True) -> None:
    """Refuse a body of another type, which a page of another site can post without being asked; raises
    `WrongMediaType`.

    Args:
        needed: none at all is refused too.
    """
    if request.mimetype != "application/json" and (needed or request.content_length):
        or_none = "" if needed else ", or no body"
        raise WrongMediaType(f"Send JSON with `Content-Type: application/json`{or_none}.")


def form_token() -> str:
    """The token of this browser: in a strict same-site cookie, and again in each form."""
    if "token" not in g:
        g.token = request.cookies.get(COOKIE) or secrets.token_urlsafe(24)
    return str(g.token)


def check_form() -> None:
    """Compare the form's token with the cookie's, and look at its fields; raises `Forbidden`, `BadInput`."""
    sent, kept = request.form.get(FIELD, ""), request.cookies.get(COOKIE, "")
    if not kept or not secrets.compare_digest(sent.encode(), kept.encode()):
        raise Forbidden("The form has expired. Load the page again and send it from there.", field=FIELD)
    _without_nul(request.form.items(multi=True))


def add_headers(response: Response) -> Response:
    """Tell browsers to load nothing from other sites, run nothing inline and guess no types."""
    policy = dict(POLICY)
    if request.endpoint in STYLED_INLINE:
        policy["style-src"] = "'self' 'unsafe-inline'"
    response.headers.setdefault("Content-Security-Policy", "; ".join(f"{k} {v}" for k, v in policy.items()))
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    if "token" in g:
        response.set_cookie(COOKIE, g.token, max_age=30 * 86_400, httponly=True, samesite="Strict", path=root() or "/")
    return response


def _limit(app: APIFlask) -> None:
    """At most so many submissions a key, or a client; counted in the broker, not at all while it is away."""
    limiter = Limiter(
        actor_of,
        app=app,
        storage_uri=_counted_at(),
        storage_options={"socket_connect_timeout": 1},
        headers_enabled=True,
        swallow_errors=True,
    )
    shared = limiter.shared_limit(_rate, scope="submissions", exempt_when=lambda: not _rate())
    for endpoint, view in app.view_functions.items():
        if hasattr(view, SUBMITS):
            app.view_functions[endpoint] = cast(Any, shared(view))


def _counted_at() -> str:
    """The broker; this process where none runs, and the app is only looked at."""
    try:
        return broker_url()
    except ServiceDown:
        return "memory://"


def _rate() -> str:
    """Submissions that a key of this caller's tenant may send, or a client where the tenant has no rate of its own."""
    return KEYRING.bounds(caller().tenant).rate or settings().rate_limit
