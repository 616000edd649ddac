"""Pictures that somebody sends: read within bounds, upright, in grey, colour or colour with transparency."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from core.errors import BadPicture

FORMATS = ("PNG", "JPEG", "WEBP")
LEAST_SIDE, MOST_PIXELS = 16, 4096 * 4096  # a compressed file of some kilobytes may hold billions
GREY = ("1", "L")


def read_picture(data: bytes, field: str) -> Image.Image:
    """The picture of a file, turned as its camera was held, with 8 bits a channel: L, RGB or RGBA.

    Raises:
        BadPicture: no picture of FORMATS, truncated, animated, too small or too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the bound is ours
            opened = Image.open(io.BytesIO(data), formats=FORMATS)
            _check(opened, field)
            opened.load()
            return _plain(ImageOps.exif_transpose(opened))
    except BadPicture:
        raise
    except Image.DecompressionBombError:
        raise BadPicture(f"The picture has more than {MOST_PIXELS:,} pixels: send it smaller.", field=field) from None
    except UnidentifiedImageError:
        raise BadPicture(f"This is no picture in one of {', '.join(FORMATS)}.", field=field) from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise BadPicture(f"The picture cannot be read: {error}. Is the file whole?", field=field) from None


def on_white(picture: Image.Image) -> Image.Image:
    """In colour; what is transparent shows white."""
    if picture.mode != "RGBA":
        return picture.convert("RGB")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


def mask_of(picture: Image.Image, field: str) -> Image.Image:
    """L, white where an image is to be drawn anew: what is transparent, or, where nothing is, what is white.

    Raises:
        BadPicture: all of it or nothing would be drawn anew.
    """
    by_hole = picture.mode == "RGBA" and has_hole(picture)  # canvases write opaque pictures with transparency, too
    levels = ImageOps.invert(picture.getchannel("A")) if by_hole else picture.convert("L")
    low, high = np.asarray(levels).min(), np.asarray(levels).max()
    if high < 128 or low >= 128:
        what = "Nothing of it is white or transparent" if high < 128 else "All of it is white or transparent"
        raise BadPicture(
            f"{what}: a mask marks the part of the image that is to be drawn anew. "
            "To change the whole image, send no mask.",
            field=field,
        )
    return levels


def has_hole(picture: Image.Image) -> bool:
    """Whether some of a picture with transparency is."""
    return bool(np.asarray(picture.getchannel("A")).min() < 128)


def fitted(picture: Image.Image, size: tuple[int, int], sharp: bool = False) -> Image.Image:
    """Resized to cover a size and cut to it around the centre; `sharp` without shades between its pixels."""
    if picture.size == size:
        return picture
    return ImageOps.fit(picture, size, Image.Resampling.NEAREST if sharp else Image.Resampling.LANCZOS)


def _check(opened: Image.Image, field: str) -> None:
    """By the header, before anything is decoded."""
    width, height = opened.size
    if getattr(opened, "n_frames", 1) > 1:
        raise BadPicture("The picture is animated: send one frame of it.", field=field)
    if min(width, height) < LEAST_SIDE or width * height > MOST_PIXELS:
        raise BadPicture(
            f"The picture has {width}×{height} pixels: each side has at least {LEAST_SIDE}, both together at most "
            f"{MOST_PIXELS:,}.",
            field=field,
        )


def _plain(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith(("I", "F")):  # 16 bits and more: the upper eight
        return Image.fromarray((np.asarray(picture.convert("I")) >> 8).clip(0, 255).astype(np.uint8))
    if picture.mode in GREY:
        return picture.convert("L")
    if "A" in picture.getbands() or "transparency" in picture.info:
        return picture.convert("RGBA")
    return picture.convert("RGB")
