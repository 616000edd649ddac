"""Files of choices: `__animals/cats__` is a line of `animals/cats.txt` in the folder ARGUS_WILDCARDS.

UTF-8, a choice a line; empty lines and those that begin with `#` are none. A file may be changed while Argus runs.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice
from pathlib import Path

from app.prompts.language import Lines
from core.errors import BadPrompt
from core.settings import PREFIX, settings

SETTING = f"{PREFIX}WILDCARDS"
MOST_BYTES = 4_000_000
LISTED = 20  # names in a message
PART = re.compile(r"[\w-][\w .~-]*")  # of a name: no hidden file, no `..`


def lines_of(name: str) -> Lines:
    """The choices of a wildcard.

    Raises:
        BadPrompt: there is no such file in the folder, or it has no choices, is too large or not UTF-8.
    """
    folder = settings().wildcard_folder
    path = _inside(folder, name)
    if path is None:
        raise BadPrompt(
            f"There is no wildcard `__{name}__`: no file `{name}.txt` in the folder {SETTING}. {_known(folder)} "
            r"For the text itself write `\_\_`."
        )
    lines, trouble = _read(path, path.stat().st_mtime_ns)
    if trouble:
        raise BadPrompt(f"The file of wildcard `__{name}__` in the folder {SETTING} {trouble}.")
    return lines


def _inside(folder: Path, name: str) -> Path | None:
    """The file of a name, where there is one and it lies in the folder, links followed."""
    if not all(PART.fullmatch(part) for part in name.split("/")):
        return None
    try:
        path = (folder / f"{name}.txt").resolve()
        return path if path.is_relative_to(folder.resolve()) and path.is_file() else None
    except OSError:  # a name longer than names of files can be
        return None


@lru_cache(maxsize=64)
def _read(path: Path, _changed: int) -> tuple[Lines, str]:
    """The file's choices, or what is wrong with it."""
    nothing = Lines((), ())
    try:
        if path.stat().st_size > MOST_BYTES:
            return nothing, f"has more than {MOST_BYTES // 1_000_000} MB"
        written = (line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines())
    except (OSError, UnicodeDecodeError):
        return nothing, "cannot be read as UTF-8"
    lines = Lines.of([line for line in written if line and not line.startswith("#")])
    return lines, "" if lines.weights and lines.weights[-1] else "has no line to choose from"


def _known(folder: Path) -> str:
    """The names there are, for the message."""
    names = sorted(str(path.relative_to(folder).with_suffix("")) for path in islice(folder.rglob("*.txt"), 1000))
    if not names:
        return "It has no files."
    return f"It has {', '.join(names[:LISTED])}{' and more' if len(names) > LISTED else ''}."
