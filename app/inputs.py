"""Images that submissions begin with: by the id of one that is here, or sent as base64; kept once for each tenant."""

from __future__ import annotations

import binascii
import re
import threading
import uuid
from base64 import b64decode, b64encode
from dataclasses import dataclass, field

from PIL import Image as Pictures
from PIL import ImageOps
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.access import caller, owned
from core.database import transaction
from core.errors import BadPicture, NotFound
from core.images import ImageStore, encode_png
from core.pictures import has_hole, mask_of, read_picture
from core.tables import Image, InputImage

DATA_URL = re.compile(r"data:[\w.+-]+/[\w.+-]+;base64,")
FOLDER = "inputs"  # of the image store
_AT_WORK = threading.BoundedSemaphore(2)  # each has a picture in memory, up to 100 MB


@dataclass
class Inputs:
    """What one submission names: each image is looked up, or kept, once."""

    _found: dict[tuple[str, str], InputImage] = field(default_factory=dict)

    def image(self, named: str, where: str) -> InputImage:
        """The image of an id or in base64; raises `BadPicture`, `NotFound`, naming the field."""
        return self._of("image", named, where)

    def mask(self, named: str, where: str, image: InputImage) -> InputImage:
        """The mask for an image; raises the same, also where it marks all or nothing, or is of another size."""
        mask = self._of("mask", named, where)
        _check_alike((mask.width, mask.height), image, where)
        return mask

    def _of(self, role: str, named: str, where: str) -> InputImage:
        if (role, named) not in self._found:
            with _AT_WORK:
                self._found[role, named] = _named(role, named, where)
        return self._found[role, named]


def keep(data: bytes, where: str) -> InputImage:
    """Keep an image that was sent as a file, for submissions to come; raises `BadPicture`."""
    with _AT_WORK:
        return _kept(read_picture(data, where))


def keep_image_and_hole(data: bytes, where: str) -> tuple[InputImage, InputImage | None]:
    """Keep an image that was sent as a file, and as its mask what is transparent in it; raises `BadPicture`."""
    with _AT_WORK:
        picture = read_picture(data, where)
        hole = picture.mode == "RGBA" and has_hole(picture)
        return _kept(picture), _kept(mask_of(picture, where)) if hole else None


def keep_mask(data: bytes, where: str, image: InputImage) -> InputImage:
    """Keep a mask for an image; raises `BadPicture`, also where it marks all or nothing, or is of another size."""
    with _AT_WORK:
        picture = read_picture(data, where)
        _check_alike(picture.size, image, where)
        return _kept(mask_of(picture, where))


def inverted(text: str, where: str) -> str:
    """A mask in base64 that marks what this one does not; raises `BadPicture`."""
    with _AT_WORK:
        mask = mask_of(read_picture(_decoded(text, where), where), where)
        return b64encode(encode_png(ImageOps.invert(mask), {})).decode()


def find(session: Session, id: uuid.UUID) -> InputImage:
    """The row of an image that was sent, if the caller may see it; raises `NotFound`."""
    found = session.scalar(owned(select(InputImage).where(InputImage.id == id)))
    if found is None:
        raise NotFound(f"There is no image {id} to begin with.", field="id")
    return found


def here(id: uuid.UUID, where: str) -> InputImage | Image:
    """The row of an image of this id that was sent, or drawn here; raises `NotFound`."""
    with transaction() as session:
        if found := session.scalar(owned(select(InputImage).where(InputImage.id == id)).with_for_update()):
            found.used_at = func.now()
            return found
        if drawn := session.scalar(owned(select(Image).where(Image.id == id))):
            return drawn
    raise NotFound(f"There is no image {id}: send one with `POST /v1/inputs`, or name one drawn here.", field=where)


def _check_alike(mask: tuple[int, int], image: InputImage, where: str) -> None:
    if mask != (image.width, image.height):
        raise BadPicture(
            f"The mask has {mask[0]}×{mask[1]} pixels, its image {image.width}×{image.height}: make them the same.",
            field=where,
        )


def _named(role: str, named: str, where: str) -> InputImage:
    """The image or mask of an id, or sent as base64. The file of one that is here is read for a mask alone."""
    try:
        id = uuid.UUID(named)
    except ValueError:
        return _checked(role, read_picture(_decoded(named, where), where), where)
    found = here(id, where)
    if isinstance(found, Image):
        return _checked(role, read_picture(ImageStore().get(found.key, found.sha256), where), where)
    if role == "mask":
        mask_of(read_picture(ImageStore().get(found.key, found.sha256), where), where)
    return found


def _checked(role: str, picture: Pictures.Image, where: str) -> InputImage:
    """The row of a picture, which is good for its role."""
    if role == "mask":
        mask_of(picture, where)
    return _kept(picture)


def _decoded(text: str, where: str) -> bytes:
    """A file in base64, with or without the beginning of a `data:` URL."""
    found = DATA_URL.match(text[:100])
    try:
        return b64decode(re.sub(r"\s", "", text[found.end() :] if found else text), validate=True)
    except (binascii.Error, ValueError):  # the latter: letters beyond ASCII
        raise BadPicture("This is neither the id of an image nor a file in base64.", field=where) from None


def _kept(picture: Pictures.Image) -> InputImage:
    """The row of a picture, its file stored before; that of the same picture where there is one."""
    store, id, data = ImageStore(), uuid.uuid4(), encode_png(picture, {})
    stored = store.write(f"{FOLDER}/{id}.png", data)
    values = {"id": id, "tenant": caller().tenant, "key": stored.key, "sha256": stored.sha256, "bytes": stored.bytes}
    values |= dict(zip(("width", "height"), picture.size, strict=True))
    new = insert(InputImage).values(values)
    once = new.on_conflict_do_update(index_elements=["tenant", "sha256"], set_={"used_at": func.now()})
    with transaction() as session:
        found = session.scalars(once.returning(InputImage)).one()
    if found.id != id:
        if store.size(found.key) != found.bytes:  # its file was lost: here it is again
            store.write(found.key, data)
        store.delete(stored.key)
    return found
