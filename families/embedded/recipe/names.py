"""The things that can be asked for, one row each in `names.csv`: an emoji's CLDR label and what people call it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

FILE = Path(__file__).parent.parent / "names.csv"
DATA = Path(__file__).parent.parent / "data"  # fetched, never committed


@dataclass(frozen=True)
class Name:
    """One thing to draw: its CLDR label, what it is called (the usual word first), keywords, emojibase's group."""

    label: str
    called: tuple[str, ...]
    tags: tuple[str, ...]
    group: int


@lru_cache(maxsize=1)
def catalogue() -> tuple[Name, ...]:
    """Every name, in the order of `names.csv` and of the sprites."""
    with FILE.open(newline="") as file:
        return tuple(_name(row) for row in csv.DictReader(file))


def _name(row: dict[str, str]) -> Name:
    return Name(row["label"], tuple(row["called"].split("; ")), tuple(row["tags"].split()), int(row["group"]))
