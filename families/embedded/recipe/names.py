"""The things that can be asked for, one row each in `names.csv`: an emoji's CLDR label and what people call it."""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

FILE = Path(__file__).parent.parent / "names.csv"
DATA = Path(__file__).parent.parent / "data"  # fetched, never committed


LOOKED_AT = 12  # side in pixels at which two things look alike
ALIKE = 16  # of every name, how many look most like it


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


@lru_cache(maxsize=1)
def look_alikes() -> tuple[tuple[int, ...], ...]:
    """Name → the names whose pictures look most like its own, nearest first: cosine of small pictures on grey."""
    with zipfile.ZipFile(DATA / "sprites.zip") as archive:
        small = np.stack([_glance(archive.read(name)) for name in sorted(archive.namelist())])
    small -= small.mean(0)
    small /= np.linalg.norm(small, axis=1, keepdims=True) + 1e-9
    near = small @ small.T
    np.fill_diagonal(near, -np.inf)
    order = np.argsort(-near, axis=1)[:, : min(ALIKE, len(near) - 1)]
    return tuple(tuple(int(name) for name in row) for row in order)


def _glance(data: bytes) -> np.ndarray:
    """A sprite on grey, a few pixels wide, as a vector in float32."""
    sprite = Image.open(io.BytesIO(data)).convert("RGBA")
    ground = Image.new("RGBA", sprite.size, (128, 128, 128, 255))
    seen = Image.alpha_composite(ground, sprite).convert("RGB").resize((LOOKED_AT, LOOKED_AT), Image.Resampling.BOX)
    return np.asarray(seen, np.float32).ravel()
