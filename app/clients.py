"""Who calls: the one place that says what a client is."""

from __future__ import annotations

from flask import has_request_context, request

ITSELF = "argus"


def client_of() -> str:
    """The client of this HTTP request: its address, as `app/proxies.py` found it; Argus itself where there is none."""
    return (request.remote_addr or "unknown") if has_request_context() else ITSELF
