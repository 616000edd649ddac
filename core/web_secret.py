"""What signs the cookies of who has signed in: ARGUS_SECRET, or a file that is made at first start."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

import structlog

from core.settings import settings

log = structlog.get_logger(__name__)
NAME = "secret"
BYTES = 32


def web_secret() -> str:
    """The same for all web processes of a home; where that cannot be written, one that ends with the process."""
    if settings().secret:
        return settings().secret
    try:
        return _kept(settings().home / NAME)
    except OSError as error:
        log.warning("who signs in has to do so again when the web process starts again", reason=str(error))
        return secrets.token_urlsafe(BYTES)


def _kept(path: Path) -> str:
    """The file's text; made whole, so that no other process reads half of it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{NAME}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(BYTES))
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return path.read_text()
