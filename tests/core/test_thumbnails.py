"""A thumbnail lies beside its image, goes with it, and is made when it is not there."""

from __future__ import annotations

import io
import uuid
from pathlib import Path

import pytest
from PIL import Image as Pictures

from core.errors import NotFound, StoreDown
from core.images import ImageStore, thumbnail_key


def small(data: bytes) -> tuple[str | None, tuple[int, int]]:
    with Pictures.open(io.BytesIO(data)) as picture:
        return picture.format, picture.size


@pytest.mark.parametrize(("size", "shown"), [((1024, 512), (256, 128)), ((64, 64), (64, 64)), ((300, 3), (256, 3))])
def test_it_is_stored_with_the_image_no_larger_than_it_and_in_its_shape(
    tmp_path: Path, size: tuple[int, int], shown: tuple[int, int]
) -> None:
    store = ImageStore(str(tmp_path))
    stored = store.put(uuid.uuid4(), Pictures.new("RGB", size, "red"))
    assert small(store.get(thumbnail_key(stored.key))) == ("WEBP", shown)
    store.delete(stored.key)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_one_that_is_missing_is_made_and_kept(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path))
    stored = store.put(uuid.uuid4(), Pictures.new("RGB", (512, 512), "red"))
    (tmp_path / thumbnail_key(stored.key)).unlink()
    made = store.thumbnail(stored.key, stored.sha256)
    assert small(made) == ("WEBP", (256, 256))
    assert store.get(thumbnail_key(stored.key)) == made


def test_an_image_is_stored_though_its_thumbnail_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ImageStore(str(tmp_path))
    write = store.write

    def full(key: str, data: bytes) -> object:
        if key.endswith(".webp"):
            raise StoreDown("full")
        return write(key, data)

    monkeypatch.setattr(store, "write", full)
    stored = store.put(uuid.uuid4(), Pictures.new("RGB", (512, 512), "red"))
    assert store.get(stored.key, stored.sha256)
    assert small(store.thumbnail(stored.key, stored.sha256)) == ("WEBP", (256, 256))


def test_there_is_none_of_an_image_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        ImageStore(str(tmp_path)).thumbnail("2026/01/01/x.png", "0" * 64)
