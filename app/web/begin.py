"""The image that the form begins with: sent as a file, or here already and named by its id."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from werkzeug.datastructures import FileStorage

from app import inputs
from app.inputs import Inputs
from core.errors import NotFound
from core.tables import Image


@dataclass(frozen=True)
class Picture:
    """An image that is here: its id, its address, and its pixels."""

    id: uuid.UUID
    path: str
    width: int
    height: int


def files_kept(values: Mapping[str, str], files: Mapping[str, FileStorage]) -> dict[str, str]:
    """The fields of the form, with the ids of images and a mask that came as files; raises `BadPicture`, `NotFound`.

    They are kept before anything else is looked at, so that a form that is shown again still has them.
    """
    kept, image, mask = dict(values), _data(files, "image_file"), _data(files, "mask_file")
    if second := _data(files, "second_file"):
        kept["second_image"] = str(inputs.keep(second, "second_file").id)
    if image:
        kept |= {"image": str(inputs.keep(image, "image_file").id), "mask": ""}  # that of the image before
    if mask and kept.get("image"):
        begun = Inputs().image(kept["image"], "image")
        kept["mask"] = str(inputs.keep_mask(mask, "mask_file", begun).id)
    return kept


def picture_of(values: Mapping[str, str]) -> Picture | None:
    """The image that a form names, if it is there and the caller may see it."""
    try:
        found = inputs.here(uuid.UUID(values.get("image", "")), "image")
    except (ValueError, NotFound):
        return None
    folder = "images" if isinstance(found, Image) else "inputs"
    return Picture(found.id, f"/v1/{folder}/{found.id}", found.width, found.height)


def _data(files: Mapping[str, FileStorage], name: str) -> bytes:
    """What a file has; nothing where none was chosen."""
    file = files.get(name)
    return file.stream.read() if file and file.filename else b""
