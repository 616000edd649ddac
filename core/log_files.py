"""Log files: bounded while they are written.

A process holds its log open for appending and knows nothing of this, so a full one is copied and cut in place, as
logrotate's `copytruncate` does; a line written between the two is lost. The alternative, a pipe through the supervisor,
would stop every process whenever the supervisor is stopped.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import structlog

from core.settings import settings

log = structlog.get_logger(__name__)
KEPT = 3  # older parts of each: NAME.log.1 is the youngest
TAIL = 64 * 1024  # bytes from the end in which last lines are looked for


def bound_logs(folder: Path) -> None:
    """Put aside what each `*.log` of the folder holds once it is longer than ARGUS_LOG_MB; the oldest part goes."""
    for path in folder.glob("*.log"):
        try:
            if path.stat().st_size > settings().log_mb * 1_000_000:
                _put_aside(path)
        except OSError as error:  # a full disk: what cannot be copied goes
            log.warning("log cut", path=str(path), reason=str(error))
            os.truncate(path, 0)


def _put_aside(path: Path) -> None:
    for number in range(KEPT, 1, -1):
        older = _part(path, number - 1)
        if older.exists():
            older.replace(_part(path, number))
    shutil.copyfile(path, _part(path, 1))
    _part(path, 1).chmod(0o600)
    os.truncate(path, 0)


def _part(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def last_lines(path: Path, lines: int) -> str:
    """The last lines of a log."""
    if not path.exists():
        return "(no log)"
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
