"""Pictures that somebody sends: every way they are stored, and every way they are no such."""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.errors import BadPicture
from core.pictures import MOST_PIXELS, fitted, mask_of, on_white, read_picture


def saved(picture: Image.Image, format: str = "PNG", **more: Any) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, format, **more)
    return sink.getvalue()


def halves(mode: str, left: Any, right: Any, size: tuple[int, int] = (64, 32)) -> Image.Image:
    picture = Image.new(mode, size, left)
    picture.paste(right, (size[0] // 2, 0, *size))
    return picture


@pytest.mark.parametrize(
    ("sent", "mode"),
    [
        (saved(halves("RGB", "red", "blue")), "RGB"),
        (saved(halves("RGB", "red", "blue"), "JPEG"), "RGB"),
        (saved(halves("RGB", "red", "blue"), "WEBP", lossless=True), "RGB"),
        (saved(halves("CMYK", (0, 255, 255, 0), (255, 255, 0, 0)), "JPEG"), "RGB"),
        (saved(halves("RGB", "red", "blue").quantize(4)), "RGB"),
        (saved(halves("RGBA", (255, 0, 0, 255), (0, 0, 255, 9))), "RGBA"),
        (saved(halves("LA", (50, 255), (200, 9))), "RGBA"),
        (saved(halves("L", 0, 255)), "L"),
        (saved(halves("1", 0, 1)), "L"),
        (saved(halves("I;16", 0, 65535)), "L"),
    ],
)
def test_every_way_to_store_colours_is_read(sent: bytes, mode: str) -> None:
    picture = read_picture(sent, "image")
    assert (picture.mode, picture.size) == (mode, (64, 32))
    left, right = (np.asarray(on_white(picture))[16, at].astype(int) for at in (8, 56))
    assert np.abs(left - right).max() > 100


def test_the_sixteen_bits_of_a_channel_become_the_upper_eight() -> None:
    deep = np.repeat(np.array([[256 * 30, 256 * 200 + 255]], dtype=np.uint16), 32, axis=0).repeat(32, axis=1)
    picture = read_picture(saved(Image.fromarray(deep)), "image")
    assert (picture.getpixel((0, 0)), picture.getpixel((60, 0))) == (30, 200)


def test_a_picture_is_turned_as_its_camera_was_held() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    sent = saved(halves("RGB", "red", "blue"), "JPEG", exif=exif)
    picture = read_picture(sent, "image")
    assert picture.size == (32, 64)
    assert picture.getpixel((16, 8))[0] > 200  # left is up now
    assert picture.getpixel((16, 56))[2] > 200


def test_what_is_transparent_shows_white() -> None:
    assert on_white(Image.new("RGBA", (20, 20), (255, 0, 0, 0))).getpixel((5, 5)) == (255, 255, 255)
    assert on_white(Image.new("RGBA", (20, 20), (255, 0, 0, 255))).getpixel((5, 5)) == (255, 0, 0)


WHOLE = saved(halves("RGB", "red", "blue"))


def bomb() -> bytes:
    """A PNG of a few kilobytes whose header says 60,000 × 60,000."""
    header = (60_000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    body = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", "no picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture"),
        (b"%PDF-1.7 and so on", "no picture"),
        (saved(halves("RGB", "red", "blue"), "BMP"), "no picture"),
        (WHOLE[: len(WHOLE) // 2], "cannot be read"),
        (saved(halves("RGB", "red", "blue", (640, 640)), "JPEG")[:700], "cannot be read"),
        (saved(Image.new("RGB", (8, 300)), "PNG"), "at least 16"),
        (bomb(), f"{MOST_PIXELS:,}"),
        (
            saved(Image.new("RGB", (32, 32), "red"), "WEBP", save_all=True, append_images=[Image.new("RGB", (32, 32))]),
            "animated",
        ),
        (
            saved(Image.new("RGB", (32, 32), "red"), "PNG", save_all=True, append_images=[Image.new("RGB", (32, 32))]),
            "animated",
        ),
    ],
)
def test_what_is_no_picture_is_refused_by_name(sent: bytes, said: str) -> None:
    with pytest.raises(BadPicture, match=said) as refused:
        read_picture(sent, "mask")
    assert refused.value.field == "mask"


def test_a_mask_is_what_is_transparent_or_else_what_is_white() -> None:
    clear = mask_of(halves("RGBA", (255, 255, 255, 255), (0, 0, 0, 0)), "mask")
    white = mask_of(halves("RGB", "black", "white"), "mask")
    opaque = mask_of(halves("RGBA", "black", "white"), "mask")
    for mask in (clear, white, opaque):
        assert (mask.mode, mask.getpixel((8, 8)), mask.getpixel((56, 8))) == ("L", 0, 255)


@pytest.mark.parametrize("colour", ["black", "white"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_mask_of_all_or_nothing_is_refused(colour: str, mode: str) -> None:
    with pytest.raises(BadPicture, match="marks the part"):
        mask_of(Image.new(mode, (32, 32), colour), "mask")


def test_a_picture_covers_the_size_it_is_fitted_to() -> None:
    picture = halves("RGB", "red", "blue", (400, 100))
    assert fitted(picture, (400, 100)) is picture
    small = fitted(picture, (64, 64))
    assert small.size == (64, 64)
    assert small.getpixel((2, 32))[0] > 200
    assert small.getpixel((61, 32))[2] > 200
    assert set(np.unique(fitted(halves("L", 0, 255, (333, 77)), (64, 64), sharp=True))) == {0, 255}
