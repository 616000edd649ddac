"""Addresses of ours as the client can use them: below the path at which a proxy has Argus, by its public name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from urllib.parse import urlsplit

from flask import has_request_context, request

from core.settings import settings

_below: ContextVar[str | None] = ContextVar("below", default=None)


def root() -> str:
    """The path in front of every address of ours, without a slash at its end; empty where there is none."""
    if has_request_context():
        return request.script_root
    return settings().public_path if (path := _below.get()) is None else path


@contextmanager
def below(path: str) -> Iterator[None]:
    """Inside, `root` is this path: for what is answered after its request is over, a stream."""
    before = _below.set(path)
    try:
        yield
    finally:
        _below.reset(before)


def link(path: str) -> str:
    """A path of ours (`/v1/jobs/…`) as a client on the same site asks for it."""
    return f"{root()}{path}"


def external(path: str) -> str:
    """The whole address of such a path (`link`, `url_for`): by ARGUS_PUBLIC_URL, else by the name that was called."""
    if public := settings().public_url:
        called = urlsplit(public)
        return f"{called.scheme}://{called.netloc}{path}"
    return f"{request.host_url.rstrip('/')}{path}" if has_request_context() else path
