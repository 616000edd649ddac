"""The image store: any fsspec URL, a folder by default. Files are PNG, named by date and image id."""

from __future__ import annotations

import hashlib
import io
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import fsspec

from core.errors import NotFound, StoreDown
from core.settings import settings

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Stored:
    """Where an image went and what it is."""

    key: str
    bytes: int
    sha256: str


class ImageStore:
    """Puts, gets and deletes PNG files under a URL."""

    def __init__(self, url: str | None = None) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(url or settings().image_url)

    def put(self, image_id: uuid.UUID, image: Image, text: dict[str, str] | None = None) -> Stored:
        """Encode as PNG (with `text` chunks: prompt, seed, level …) and store.

        Raises:
            StoreDown: the store is full, read-only or away; nothing of the image is left in it.
        """
        data = encode_png(image, text or {})
        key = f"{datetime.now(UTC):%Y/%m/%d}/{image_id}.png"
        path = f"{self._root}/{key}"
        partial = f"{path}.partial"
        try:
            self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            with self._fs.open(partial, "wb") as sink:
                sink.write(data)
            self._fs.mv(partial, path)
        except OSError as error:
            with suppress(OSError):
                self.delete(partial.removeprefix(f"{self._root}/"))
            raise StoreDown(f"The image store cannot be written: {error.strerror or error}.") from error
        return Stored(key, len(data), hashlib.sha256(data).hexdigest())

    def get(self, key: str) -> bytes:
        """The file's bytes; raises `NotFound` when it is gone, `StoreDown` when the store does not answer."""
        try:
            with self._fs.open(f"{self._root}/{key}", "rb") as source:
                return bytes(source.read())
        except FileNotFoundError:
            raise NotFound(f"The image file {key} is no longer in the store.") from None
        except OSError as error:
            raise StoreDown(f"The image store cannot be read: {error.strerror or error}.") from error

    def is_writable(self) -> bool:
        """Whether a file can be stored now."""
        probe = f"{self._root}/.probe-{uuid.uuid4()}"
        try:
            self._fs.makedirs(self._root, exist_ok=True)
            self._fs.pipe_file(probe, b"argus")
            self._fs.rm_file(probe)
        except OSError:
            return False
        return True

    def delete(self, key: str) -> None:
        """Remove a file; one that is gone already is no error."""
        path = f"{self._root}/{key}"
        if self._fs.exists(path):
            self._fs.rm_file(path)

    def path(self, key: str) -> str:
        """Full path or URL of a key, for people."""
        return f"{self._root}/{key}"


def encode_png(image: Image, text: dict[str, str]) -> bytes:
    """PNG bytes with text chunks, the way image tools keep generation parameters."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for name, value in text.items():
        info.add_itxt(name, value)
    sink = io.BytesIO()
    image.save(sink, "PNG", pnginfo=info)
    return sink.getvalue()
