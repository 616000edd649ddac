"""The training pictures: 3-D Fluent emoji (MIT), named by CLDR through emojibase (MIT). Fetched, never committed."""

from __future__ import annotations

import json
import subprocess
import tarfile
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from PIL import Image

DATA = Path(__file__).parent / "data"
PICTURES = "@lobehub/fluent-emoji-3d@1.1.0"
NAMES = "emojibase-data@17.0.0"
FLAGS = 9  # the group whose origin is unclear
LONGEST_SIDE = 124  # a sprite's, in pixels


@dataclass(frozen=True)
class Emoji:
    """One thing that can be drawn: its CLDR name, keywords, and file."""

    label: str
    tags: tuple[str, ...]
    file: Path


def fetch() -> None:
    """Bring both packages into `data/` with npm, once."""
    DATA.mkdir(exist_ok=True)
    for package, folder in ((PICTURES, "fluent"), (NAMES, "emojibase")):
        if (DATA / folder).exists():
            continue
        packed = subprocess.run(
            ["npm", "pack", "--silent", package], cwd=DATA, check=True, capture_output=True, text=True
        )
        with tarfile.open(DATA / packed.stdout.strip().splitlines()[-1]) as archive:
            archive.extractall(DATA / folder, filter="data")


@lru_cache(maxsize=1)
def catalogue() -> dict[str, Emoji]:
    """Every emoji with a picture, by name: no flags, no skin tones; joined by code points without fe0f."""
    files = {_points(path.stem): path for path in sorted((DATA / "fluent/package/assets").glob("*.webp"))}
    entries = json.loads((DATA / "emojibase/package/en/data.json").read_text())
    found = ((entry, files.get(_points(entry["hexcode"].lower()))) for entry in entries if entry.get("group") != FLAGS)
    return {entry["label"]: Emoji(entry["label"], tuple(entry.get("tags", ())), file) for entry, file in found if file}


def _points(stem: str) -> str:
    return "-".join(point for point in stem.split("-") if point != "fe0f")


@cache
def sprite(label: str) -> Image.Image:
    """The picture cut to what is visible, premultiplied RGBA, longest side 124 pixels."""
    picture = Image.open(catalogue()[label].file).convert("RGBA")
    picture = picture.crop(picture.getchannel("A").point(lambda alpha: 255 * (alpha > 24)).getbbox())
    factor = LONGEST_SIDE / max(picture.size)
    return picture.convert("RGBa").resize(
        (round(picture.width * factor), round(picture.height * factor)), Image.Resampling.BOX
    )


if __name__ == "__main__":
    fetch()
