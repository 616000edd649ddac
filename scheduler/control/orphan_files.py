"""Files of the image store that no row names: what a worker left behind that ended between storing and recording.

A file that a row names, or may still come to name, is never touched. An attempt writes its file after it has begun and
before its row is committed, and one that has ended can record nothing more. So a file older than every open attempt,
and in no row that is read *after* these, will never be in one.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from sqlalchemy import func, select

from core.database import transaction
from core.images import PARTIAL, PROBE, THUMBNAIL, ImageStore
from core.tables import Attempt, Image, InputImage

SAFE_AGE = timedelta(hours=1)  # younger files are left alone, whatever is known of them
SKEW = timedelta(minutes=10)  # between the clocks of store and database, at most
SUFFIXES = (".png", THUMBNAIL)


@dataclass(frozen=True)
class Orphans:
    """Of the files that were looked at: keys without a row, and of files that were never written to their end."""

    seen: int = 0
    files: tuple[str, ...] = ()
    partials: tuple[str, ...] = ()


class OrphanFiles:
    """Goes through the store, some files a turn, and begins again at its end."""

    def __init__(self, store: ImageStore) -> None:
        self.store = store
        self._files: Iterator[str] | None = None

    def look(self, most: int) -> Orphans:
        """The orphans among the next `most` files; raises `StoreDown`."""
        self._files = self._files or self.store.files()
        try:
            keys = list(islice(self._files, most))
        except BaseException:
            self._files = None
            raise
        if len(keys) < most:
            self._files = None
        return self._among(keys)

    def look_at_all(self, most: int) -> Iterator[Orphans]:
        """The orphans of all files, `most` at a time."""
        files = self.store.files()
        while keys := list(islice(files, most)):
            yield self._among(keys)

    def remove(self, found: Orphans) -> int:
        """Delete them; returns how many files that were."""
        keys = (*found.files, *found.partials)
        for key in keys:
            self.store.delete(key)
        return len(keys)

    def _among(self, keys: Sequence[str]) -> Orphans:
        """A file whose name is not of ours is somebody else's."""
        partials = {key for key in keys if _image_of(key.removesuffix(PARTIAL)) and key.endswith(PARTIAL)}
        partials |= {key for key in keys if key.rpartition("/")[2].startswith(PROBE)}
        images = {key: image for key in keys if (image := _image_of(key)) is not None}
        before = _none_can_record_since()
        with transaction() as session:
            tables = (select(table.id).where(table.id.in_(images.values())) for table in (Image, InputImage))
            named = {id for query in tables for id in session.scalars(query)}
        lone = [key for key, image in images.items() if image not in named]
        return Orphans(len(keys), self._older(lone, before), self._older(sorted(partials), before))

    def _older(self, keys: Sequence[str], before: datetime) -> tuple[str, ...]:
        return tuple(key for key in keys if (at := self.store.modified(key)) is not None and at < before)


def _none_can_record_since() -> datetime:
    """What was stored before this time, and is in no row now, will be in none."""
    oldest = select(func.min(Attempt.started_at)).where(Attempt.outcome.is_(None)).scalar_subquery()
    with transaction() as session:
        before: datetime = session.execute(select(func.least(func.now() - SAFE_AGE, oldest - SKEW))).scalar_one()
        return before


def _image_of(key: str) -> uuid.UUID | None:
    """The image that a file of this name would be of."""
    name = key.rpartition("/")[2]
    suffix = next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)
    try:
        return uuid.UUID(name.removesuffix(suffix)) if suffix else None
    except ValueError:
        return None
