"""Who calls, as far as counting and remembering go: the one place that says what a client is."""

from __future__ import annotations

from flask import has_request_context, request

from app.access import caller

ITSELF = "argus"
TENANT = "tenant:"


def client_of() -> str:
    """The client of this HTTP request: the tenant of its key, else its address; Argus itself where there is none."""
    if not has_request_context():
        return ITSELF
    who = caller()
    return f"{TENANT}{who.tenant}" if who.key else address_of()


def actor_of() -> str:
    """Who it is that does something: the key, with its tenant; else the client."""
    key = caller().key
    return f"{key.tenant}/{key.id}" if key else client_of()


def address_of() -> str:
    """Where this HTTP request came from, as `app/proxies.py` found it."""
    return request.remote_addr or "unknown"
