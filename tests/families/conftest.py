"""A catalogue of drawn shapes in the layout of the npm packages: the recipe runs without fetching anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from families.embedded import emoji
from families.embedded.budget import load_budget

SHADES = ((250, 250, 250), (20, 20, 20), (250, 20, 250), (20, 250, 250), (250, 250, 20))


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Every name of the `cpu` budget as a disc, box or triangle of its own shade."""
    folder = tmp_path_factory.mktemp("pictures")
    assets, names = folder / "fluent/package/assets", folder / "emojibase/package/en"
    assets.mkdir(parents=True)
    names.mkdir(parents=True)
    labels = sorted({*load_budget("cpu").names, *load_budget("toy").names})
    entries = [{"label": label, "hexcode": f"1F{index:03X}", "tags": ["thing"]} for index, label in enumerate(labels)]
    (names / "data.json").write_text(json.dumps(entries))
    for index, entry in enumerate(entries):
        _shape(index).save(assets / f"{str(entry['hexcode']).lower()}.webp", lossless=True)
    before, emoji.DATA = emoji.DATA, folder
    _forget()
    yield folder
    emoji.DATA = before
    _forget()


def _shape(index: int) -> Image.Image:
    picture = Image.new("RGBA", (128, 128))
    pen, shade = ImageDraw.Draw(picture), (*SHADES[index % len(SHADES)], 255)
    (pen.ellipse, pen.rectangle)[index % 2]((8, 8, 120, 120), fill=shade)
    return picture


def _forget() -> None:
    emoji.catalogue.cache_clear()
    emoji.sprite.cache_clear()
