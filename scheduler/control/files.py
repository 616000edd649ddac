"""Rows and files of the image store are kept in agreement, some of each a turn, however many there are."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import structlog

from core.counters import count
from core.errors import StoreDown
from core.families import Family
from core.images import ImageStore
from scheduler.control.missing_files import MissingFiles, mark
from scheduler.control.orphan_files import OrphanFiles
from scheduler.control.redrawing import Redrawing

log = structlog.get_logger(__name__)
A_TURN = 1_000  # files, and images
CHECKED = 10  # files that are read and compared with their checksum


@dataclass(frozen=True)
class Agreed:
    """What a turn did: files removed that no row named, images found to be missing, missing images whole again."""

    orphans_removed: int = 0
    partials_removed: int = 0
    images_missing: int = 0
    images_restored: int = 0


class FilesAndRows:
    """Compares them for one family, a turn at a time."""

    def __init__(self, family: Family, store: ImageStore | None = None) -> None:
        store = store or ImageStore()
        self.orphans, self.missing = OrphanFiles(store), MissingFiles(store)
        self.redrawing = Redrawing(family, store)

    def turn(self) -> Agreed:
        """Look at some; a store that is away costs the turn."""
        try:
            agreed = self._turn()
        except StoreDown as error:
            log.warning("store away", error=error.message)
            return Agreed()
        for name, number in asdict(agreed).items():
            count(name, number)
        if agreed != Agreed():
            log.info("files and rows", **asdict(agreed))
        return agreed

    def _turn(self) -> Agreed:
        found = self.missing.look(A_TURN, CHECKED)
        if not found.believed:
            log.error("most image files are missing: is this the store that has them?", seen=found.seen)
            return Agreed()
        marked = mark(found)
        restored = self.redrawing.turn()
        orphans = self.orphans.look(A_TURN)
        self.orphans.remove(orphans)
        return Agreed(len(orphans.files), len(orphans.partials), marked, restored)
