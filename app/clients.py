"""Who calls: the one place that says what a client is."""

from __future__ import annotations

from flask import request


def client_of() -> str:
    """The client of this HTTP request: its address, as `app/proxies.py` found it."""
    return request.remote_addr or "unknown"
