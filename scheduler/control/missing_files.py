"""Images whose file is gone or damaged are found, and marked so; `scheduler.control.redrawing` makes them anew."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import func, select, update

from core.database import transaction
from core.errors import NotFound
from core.images import ImageStore
from core.tables import Image, InputImage

log = structlog.get_logger(__name__)
FEW = 5  # missing at once that are believed whatever their share
SHARE = 0.5  # of the images looked at: more are missing only where another store lies than the one that had them
FIRST = uuid.UUID(int=0)


@dataclass(frozen=True)
class Missing:
    """Of the images that were looked at: those whose file is gone, and those whose file is another."""

    seen: int = 0
    gone: tuple[uuid.UUID, ...] = ()
    damaged: tuple[uuid.UUID, ...] = ()

    @property
    def all(self) -> tuple[uuid.UUID, ...]:
        return self.gone + self.damaged

    @property
    def believed(self) -> bool:
        """Whether these few are missing; where most are, the store is rather not the one that has them."""
        return len(self.all) <= max(FEW, SHARE * self.seen)


class MissingFiles:
    """Goes through the images by id, some a turn, from anywhere to the end and then from the beginning."""

    def __init__(self, store: ImageStore) -> None:
        self.store = store
        self._after = uuid.UUID(int=random.getrandbits(128))

    def look(self, most: int, checked: int) -> Missing:
        """The missing among the next `most` images, of which the first `checked` files are read; raises `StoreDown`."""
        rows = _images(self._after, most)
        found = self._among(rows, checked)
        self._after = rows[-1].id if len(rows) == most else FIRST
        return found

    def look_at_all(self, most: int) -> Iterator[Missing]:
        """The missing of all images, `most` at a time, every file read."""
        after = FIRST
        while rows := _images(after, most):
            yield self._among(rows, most)
            after = rows[-1].id

    def _among(self, rows: Sequence[Image], checked: int) -> Missing:
        sizes = [self.store.size(row.key) for row in rows]
        gone = tuple(row.id for row, size in zip(rows, sizes, strict=True) if size is None)
        there = [(row, size) for row, size in zip(rows, sizes, strict=True) if size is not None]
        damaged = tuple(
            row.id
            for place, (row, size) in enumerate(there)
            if size != row.bytes or (place < checked and not is_whole(self.store, row))
        )
        return Missing(len(rows), gone, damaged)


def mark(found: Missing) -> int:
    """Note in their rows that they are missing; returns how many are so now that were not before."""
    if not found.all:
        return 0
    those = update(Image).where(Image.id.in_(found.all), Image.missing_at.is_(None))
    with transaction() as session:
        marked: int = session.execute(those.values(missing_at=func.now())).rowcount  # type: ignore[attr-defined]
    log.warning("image files are missing", gone=len(found.gone), damaged=len(found.damaged), marked=marked)
    return marked


def is_whole(store: ImageStore, image: Image | InputImage) -> bool:
    """Whether the file of an image is there and is the one that was stored; raises `StoreDown`."""
    try:
        store.get(image.key, image.sha256)
    except NotFound:
        return False
    return True


def _images(after: uuid.UUID, most: int) -> list[Image]:
    """The next images by id that are not known to be missing."""
    query = select(Image).where(Image.id > after, Image.missing_at.is_(None)).order_by(Image.id).limit(most)
    with transaction() as session:
        return list(session.scalars(query))
