"""The image store: any fsspec URL, a folder by default. Files are PNG, named by date and image id.

Beside each lies a thumbnail, made when it is stored, or when it is first asked for; it goes with the image. Nothing
says that it is there, so it may be missing, and an image whose thumbnail could not be stored is stored all the same.
"""

from __future__ import annotations

import hashlib
import io
import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fsspec.implementations.local import LocalFileSystem

from core.errors import NotFound, StoreDown
from core.places import failures_of, place_of, said_of
from core.settings import settings

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.PngImagePlugin import PngInfo

PARTIAL = ".partial"  # ends the name of a file that is being written
THUMBNAIL = ".thumb.webp"  # ends the name of what a list shows
THUMBNAIL_SIDE, THUMBNAIL_QUALITY = 256, 80  # pixels of the longer side, at most
PROBE = ".probe-"  # begins that of one that only shows whether files can be


@dataclass(frozen=True)
class Stored:
    """Where an image went and what it is."""

    key: str
    bytes: int
    sha256: str


class ImageStore:
    """Puts, gets and deletes PNG files under a URL."""

    def __init__(self, url: str | None = None) -> None:
        self._fs, self._root = place_of(url or settings().image_url)
        self._fails = failures_of(self._fs)

    def put(self, image_id: uuid.UUID, image: Image, text: dict[str, str] | None = None) -> Stored:
        """Encode as PNG (with `text` chunks: prompt, seed, level …) and store.

        Raises:
            StoreDown: the store is full, read-only or away; nothing of the image is left in it.
        """
        stored = self.write(f"{datetime.now(UTC):%Y/%m/%d}/{image_id}.png", encode_png(image, text or {}))
        with suppress(StoreDown):
            self.write(thumbnail_key(stored.key), encode_thumbnail(image))
        return stored

    def write(self, key: str, data: bytes) -> Stored:
        """Store a file whole or not at all, in the place of any other; raises `StoreDown`."""
        path = f"{self._root}/{key}"
        partial = f"{path}{PARTIAL}"
        try:
            self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            with self._fs.open(partial, "wb") as sink:
                sink.write(data)
            self._fs.mv(partial, path)
        except self._fails as error:
            with suppress(self._fails):
                self.delete(f"{key}{PARTIAL}")
            raise StoreDown(f"The image store cannot be written: {said_of(error)}.") from error
        return Stored(key, len(data), digest(data))

    def get(self, key: str, sha256: str | None = None) -> bytes:
        """The file's bytes.

        Raises:
            NotFound: it is gone, or it is not the one of this checksum.
            StoreDown: the store does not answer.
        """
        try:
            with self._fs.open(f"{self._root}/{key}", "rb") as source:
                data = bytes(source.read())
        except FileNotFoundError:
            raise NotFound(f"The image file {key} is no longer in the store.") from None
        except self._fails as error:
            raise StoreDown(f"The image store cannot be read: {said_of(error)}.") from error
        if sha256 is not None and digest(data) != sha256:
            raise NotFound(f"The image file {key} is damaged.")
        return data

    def thumbnail(self, key: str, sha256: str) -> bytes:
        """A small WebP of an image; made and kept where there is none yet. Raises as `get`."""
        from PIL import Image as Pictures

        with suppress(NotFound):
            return self.get(thumbnail_key(key))
        with Pictures.open(io.BytesIO(self.get(key, sha256))) as image:
            made = encode_thumbnail(image)
        with suppress(StoreDown):
            self.write(thumbnail_key(key), made)
        return made

    def size(self, key: str) -> int | None:
        """Bytes of a file; None when it is gone. Raises `StoreDown` when the store does not answer."""
        try:
            return int(self._fs.info(f"{self._root}/{key}")["size"])
        except FileNotFoundError:
            return None
        except self._fails as error:
            raise StoreDown(f"The image store cannot be read: {said_of(error)}.") from error

    def files(self) -> Iterator[str]:
        """Keys of all files, one folder after the other, read as they are asked for; raises `StoreDown`."""
        folders = [self._root]
        try:
            while folders:
                for path, is_folder in self._entries(folders.pop()):
                    if is_folder:
                        folders.append(path)
                    else:
                        yield path.removeprefix(f"{self._root}/")
        except FileNotFoundError:  # the folder went meanwhile
            return
        except self._fails as error:
            raise StoreDown(f"The image store cannot be read: {said_of(error)}.") from error

    def _entries(self, folder: str) -> Iterator[tuple[str, bool]]:
        """What lies in a folder, and whether that is one. A local one may hold a million files: none waits for all."""
        if isinstance(self._fs, LocalFileSystem):
            with os.scandir(folder) as entries:
                yield from ((entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries)
        else:
            yield from ((found["name"], found["type"] == "directory") for found in self._fs.ls(folder, detail=True))

    def modified(self, key: str) -> datetime | None:
        """When a file was written, by the store's clock; None when it is gone."""
        try:
            when: datetime = self._fs.modified(f"{self._root}/{key}")
        except self._fails:
            return None
        return when if when.tzinfo else when.replace(tzinfo=UTC)

    def is_writable(self) -> bool:
        """Whether a file can be stored now."""
        probe = f"{self._root}/{PROBE}{uuid.uuid4()}"
        try:
            self._fs.makedirs(self._root, exist_ok=True)
            self._fs.pipe_file(probe, b"argus")
            self._fs.rm_file(probe)
        except self._fails:
            return False
        return True

    def delete(self, key: str) -> None:
        """Remove a file, with its thumbnail; one that is gone already is no error."""
        for path in (f"{self._root}/{key}", f"{self._root}/{thumbnail_key(key)}"):
            if self._fs.exists(path):
                self._fs.rm_file(path)

    def path(self, key: str) -> str:
        """Full path or URL of a key, for people."""
        return f"{self._root}/{key}"


def thumbnail_key(key: str) -> str:
    """Where the thumbnail of an image lies."""
    return f"{key.removesuffix('.png')}{THUMBNAIL}"


def encode_thumbnail(image: Image) -> bytes:
    """A WebP of at most THUMBNAIL_SIDE pixels a side, without text."""
    small, sink = image.convert("RGB"), io.BytesIO()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    small.save(sink, "WEBP", quality=THUMBNAIL_QUALITY, method=2)
    return sink.getvalue()


def digest(data: bytes) -> str:
    """SHA-256, as rows have it."""
    return hashlib.sha256(data).hexdigest()


def encode_png(image: Image, text: dict[str, str]) -> bytes:
    """PNG bytes with text chunks, the way image tools keep generation parameters."""
    sink = io.BytesIO()
    image.save(sink, "PNG", pnginfo=png_info(text))
    return sink.getvalue()


def png_info(text: dict[str, str]) -> PngInfo:
    """Text chunks, as Pillow wants them."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for name, value in text.items():
        info.add_text(name, value)  # Latin text as the plainest chunk, which every reader knows
    return info
