"""A stored picture as a client wants it: another size, another format. The text in the PNG goes with it.

The store keeps what was drawn, once. Everything else is made when it is asked for, and never kept.
"""

from __future__ import annotations

import io
import json
import threading
from dataclasses import asdict, dataclass
from typing import Any, Literal

from PIL import Image as Pictures
from PIL import ImageOps
from PIL.Image import Image, Resampling

from core.errors import OutOfRange
from core.images import png_info

Format = Literal["png", "jpeg", "webp"]
SIDES, MOST_PIXELS = (16, 4096), 4096 * 2160  # of a picture that is made
QUALITY = 95  # of JPEG and WebP; beyond it files grow and nobody sees why
PNG_LEVEL = 1  # measured at 1024²: a quarter of the time of level 6, a fifth more bytes
WEBP_METHOD = 2
IMAGE_DESCRIPTION, SOFTWARE, EXIF_FOLDER, USER_COMMENT = 0x010E, 0x0131, 0x8769, 0x9286  # EXIF's tags
UTF_16 = b"UNICODE\0"  # begins a user comment in UTF-16, as the web UI of AUTOMATIC1111 writes it
MOST_EXIF = 65_000  # what one marker of JPEG holds

_AT_WORK = threading.BoundedSemaphore(2)  # each takes a core, and up to 100 MB


@dataclass(frozen=True)
class Rendering:
    """What a picture is made: pixels (a side that is none follows the other, both none: as drawn), format, and of JPEG
    and WebP the quality, 0 to 100."""

    width: int | None = None
    height: int | None = None
    format: Format = "png"
    quality: int = QUALITY

    @property
    def mimetype(self) -> str:
        return f"image/{self.format}"

    @property
    def as_drawn(self) -> bool:
        """Whether this is what the store keeps."""
        return self.format == "png" and self.width is None and self.height is None

    def query(self) -> dict[str, Any]:
        """The parameters of a link to it; none that say nothing."""
        return {name: value for name, value in asdict(self).items() if value != getattr(Rendering, name)}

    def size(self, drawn: tuple[int, int]) -> tuple[int, int]:
        """Width and height that a picture of this size becomes; raises `OutOfRange` beyond MOST_PIXELS."""
        across, down = drawn
        if self.width is None and self.height is None:
            return drawn
        width = self.width or max(1, round((self.height or down) * across / down))
        height = self.height or max(1, round(width * down / across))
        if width * height > MOST_PIXELS:
            raise OutOfRange(f"{width}x{height} pixels; at most {MOST_PIXELS:,} are made of an image.", field="width")
        return width, height


AS_DRAWN = Rendering()


def render(png: bytes, wanted: Rendering) -> bytes:
    """The file that was asked for, made of a stored one: resized to cover it, cut around the centre, encoded."""
    return png if wanted.as_drawn else remade(png, wanted)


def remade(file: bytes, wanted: Rendering) -> bytes:
    """The same of a picture in any format, encoded anew unless it is what was asked for."""
    with _AT_WORK, Pictures.open(io.BytesIO(file)) as stored:
        size, text = wanted.size(stored.size), _text(stored)
        if wanted.format == "png" == (stored.format or "").lower() and size == stored.size:
            return file
        return _encoded(ImageOps.fit(stored.convert("RGB"), size, Resampling.LANCZOS), wanted, text)


def _text(stored: Image) -> dict[str, str]:
    """The text chunks of a PNG."""
    return {name: str(value) for name, value in getattr(stored, "text", {}).items()}


def _encoded(picture: Image, wanted: Rendering, text: dict[str, str]) -> bytes:
    sink, quality = io.BytesIO(), max(1, wanted.quality)  # to Pillow, 0 is what it likes best
    if wanted.format == "png":
        picture.save(sink, "PNG", pnginfo=png_info(text), compress_level=PNG_LEVEL)
    elif wanted.format == "jpeg":
        picture.save(sink, "JPEG", quality=quality, exif=_exif(text))
    else:
        picture.save(sink, "WEBP", quality=quality, method=WEBP_METHOD, exif=_exif(text))
    return sink.getvalue()


def _exif(text: dict[str, str]) -> bytes:
    """Text chunks as EXIF: `parameters` is the user comment, where readers look for it; all of them are the
    description, as JSON. Left out where there is more than JPEG can carry."""
    exif = Pictures.Exif()
    exif[SOFTWARE], exif[IMAGE_DESCRIPTION] = "Argus", json.dumps(text)
    if parameters := text.get("parameters"):
        exif.get_ifd(EXIF_FOLDER)[USER_COMMENT] = UTF_16 + parameters.encode("utf-16-be")
    written = exif.tobytes()
    return written if len(written) <= MOST_EXIF else b""
