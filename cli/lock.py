"""One Argus a home folder: whoever runs `argus up` holds the lock `home`/run/argus.lock as long as it lives.

So whoever finds the lock free knows that nothing runs, however the last run ended. The file holds the process id.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import Conflict
from core.settings import settings


@contextmanager
def only_one() -> Iterator[None]:
    """Hold the lock of the home folder, with our process id in it; raises `Conflict` when another holds it."""
    path = lock_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"Another `argus up` is starting or stopping on {settings().home}.") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def lock_is_free() -> bool:
    """Whether no Argus runs on this home folder; raises `Conflict` where that is another user's to know."""
    try:
        with lock_path().open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return True
    except FileNotFoundError:
        return True
    except PermissionError:
        raise Conflict(f"{settings().home} belongs to another user: ask as that one, or set ARGUS_HOME.") from None
    except BlockingIOError:
        return False


def lock_path() -> Path:
    """The lock's file."""
    return settings().run_folder / "argus.lock"
