"""Twelve names with drawn shapes for pictures: the recipe runs without fetching anything."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

import pytest
import torch
from PIL import Image, ImageDraw

from families.embedded.recipe import names, scenes

torch.set_num_threads(1)

CALLED = [
    "fox; red fox",
    "pizza",
    "robot",
    "ghost",
    "tree",
    "boat",
    "castle",
    "drum",
    "cup of coffee",
    "cherries",
    "rocket",
    "bear",
]
SHADES = ((250, 20, 250), (20, 250, 250), (250, 250, 20), (20, 250, 20))  # of no ground


@pytest.fixture(scope="module")
def toy_names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    """A catalogue of twelve things, discs and boxes of their own shades, in place of the real one."""
    folder = tmp_path_factory.mktemp("data")
    lines = ["label,called,tags,group", *(f"{called.split('; ')[0]},{called},thing,3" for called in CALLED)]
    (folder / "names.csv").write_text("\n".join(lines) + "\n")
    with zipfile.ZipFile(folder / "sprites.zip", "w") as archive:
        for number in range(len(CALLED)):
            archive.writestr(f"{number:04d}.webp", _shape(number))
    before, names.FILE, names.DATA = (names.FILE, names.DATA), folder / "names.csv", folder
    _forget()
    yield tuple(name.called[0] for name in names.catalogue())
    names.FILE, names.DATA = before
    _forget()


def _shape(number: int) -> bytes:
    picture, file = Image.new("RGBA", (256, 256)), io.BytesIO()
    pen, shade = ImageDraw.Draw(picture), (*SHADES[number % len(SHADES)], 255)
    (pen.ellipse, pen.rectangle)[number % 2]((16, 16, 240, 240), fill=shade)
    picture.save(file, "webp", lossless=True)
    return file.getvalue()


def _forget() -> None:
    names.catalogue.cache_clear()
    names.look_alikes.cache_clear()
    scenes.countable.cache_clear()
