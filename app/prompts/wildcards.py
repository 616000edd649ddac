"""Files of choices: `__animals/cats__` is a line of `animals/cats.txt` in the folder ARGUS_WILDCARDS.

`__animals/*__` is a line of all files below `animals`: `*` stands for any characters, `/` too, `?` for one. A name that
no file has is looked for below all folders, as dynamic-prompts does it: `__cats__` finds `animals/cats.txt`.
UTF-8, a choice a line; empty lines and those that begin with `#` are none. A file may be changed while Argus runs.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import islice
from pathlib import Path

from app.prompts.language import Lines
from app.prompts.reading import read_lines
from core.errors import BadPrompt
from core.settings import PREFIX, settings

SETTING = f"{PREFIX}WILDCARDS"
MOST_BYTES = 4_000_000  # of all files of one wildcard
MOST_FILES = 10_000  # of the folder that are looked at
LISTED = 20  # names in a message
PART = re.compile(r"[\w-][\w .~-]*")  # of a name: no hidden file, no `..`


def lines_of(name: str) -> Lines:
    """The choices of a wildcard; of several files each line once.

    Raises:
        BadPrompt: there is no such file in the folder, or it has no choices, is too large or not UTF-8.
    """
    folder = settings().wildcard_folder
    found = _found(folder, name)
    if not found:
        raise BadPrompt(
            f"There is no wildcard `__{name}__`: no file `{name}.txt` in the folder {SETTING} or below. "
            f"{_known(folder)} "
            r"For the text itself write `\_\_`."
        )
    sizes = {path: path.stat() for path in found}
    if sum(stat.st_size for stat in sizes.values()) > MOST_BYTES:
        trouble = f"has more than {MOST_BYTES // 1_000_000} MB"
    else:
        lines, trouble = _read(tuple(sizes), tuple(stat.st_mtime_ns for stat in sizes.values()))
    if trouble:
        raise BadPrompt(f"The file of wildcard `__{name}__` in the folder {SETTING} {trouble}.")
    return lines


def _found(folder: Path, name: str) -> list[Path]:
    """The files of a name or pattern, in order of their names."""
    if path := _inside(folder, name):
        return [path]
    names = _names(folder, int(time.monotonic()))
    for pattern in (name, f"*/{name}"):
        inside = [_inside(folder, one) for one in names if fnmatchcase(one, pattern)]
        if found := [path for path in inside if path]:
            return found
    return []


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
def _read(paths: Sequence[Path], _changed: Sequence[int]) -> tuple[Lines, str]:
    """The files' choices, or what is wrong with them."""
    lines: dict[str, None] = {}
    try:
        for path in paths:
            written = (line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines())
            lines |= dict.fromkeys(line for line in written if line and not line.startswith("#"))
    except (OSError, UnicodeDecodeError):
        return Lines((), ()), "cannot be read as UTF-8"
    found = read_lines(list(lines))
    return found, "" if found.weights and found.weights[-1] else "has no line to choose from"


@lru_cache(maxsize=1)
def _names(folder: Path, _second: int) -> list[str]:
    """The names there are, in alphabetical order; asked anew every second."""
    files = islice(folder.rglob("*.txt"), MOST_FILES)
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in files)


def _known(folder: Path) -> str:
    """The names there are, for the message."""
    names = _names(folder, int(time.monotonic()))
    if not names:
        return "It has no files."
    return f"It has {', '.join(names[:LISTED])}{' and more' if len(names) > LISTED else ''}."
