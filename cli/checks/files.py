"""The whole image store against all rows: what a scheduler does some of each turn, here at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cli.checks.finding import Finding

if TYPE_CHECKING:
    from core.families import Family
    from core.images import ImageStore

AT_ONCE = 1_000  # files, or images


def files(repair: bool) -> Iterator[Finding]:
    """Files without a row, and images whose file is gone or is another; with `repair` those go, and these are drawn
    again. Every file of an image is read, and of those that requests begin with."""
    from core.families import load_family
    from core.images import ImageStore
    from core.settings import settings

    store = ImageStore()
    yield _orphans(store, repair)
    yield _missing(store, repair)
    yield _redrawn(load_family(settings().family), store, repair)
    yield _inputs(store)


def _orphans(store: ImageStore, repair: bool) -> Finding:
    from scheduler.control.orphan_files import OrphanFiles

    orphans = OrphanFiles(store)
    seen = lone = partial = 0
    for found in orphans.look_at_all(AT_ONCE):
        seen, lone, partial = seen + found.seen, lone + len(found.files), partial + len(found.partials)
        if repair:
            orphans.remove(found)
    removed = "removed" if repair else "`--repair` removes them"
    text = f"{seen} in the store, {lone} that no image has, {partial} never written to their end"
    clean = not (lone or partial)
    return Finding("files", clean or repair, text if clean else f"{text}: {removed}")


def _missing(store: ImageStore, repair: bool) -> Finding:
    from scheduler.control.missing_files import MissingFiles, mark

    seen = gone = damaged = 0
    for found in MissingFiles(store).look_at_all(AT_ONCE):
        seen, gone, damaged = seen + found.seen, gone + len(found.gone), damaged + len(found.damaged)
        if repair:
            mark(found)
    marked = "marked, to be drawn again" if repair else "`--repair` has them drawn again, if this is the right store"
    text = f"{seen} not known to be missing, {gone} without their file, {damaged} with a damaged one"
    clean = not (gone or damaged)
    return Finding("images", clean or repair, text if clean else f"{text}: {marked}")


def _redrawn(family: Family, store: ImageStore, repair: bool) -> Finding:
    from sqlalchemy import func, select

    from core.database import transaction
    from core.tables import Image
    from scheduler.control.redrawing import Redrawing

    whole = Redrawing(family, store).turn() if repair else 0
    with transaction() as session:
        marked, ordered = session.execute(
            select(func.count(), func.count(Image.redraw_id)).where(Image.missing_at.is_not(None))
        ).one()
    text = f"{marked} marked as missing, {ordered} of them to be drawn again"
    return Finding("missing images", not marked or repair, f"{text}, {whole} whole again" if repair else text)


def _inputs(store: ImageStore) -> Finding:
    from sqlalchemy import select

    from core.database import transaction
    from core.tables import InputImage
    from scheduler.control.missing_files import is_whole

    with transaction() as session:
        sent = list(session.scalars(select(InputImage)))
    lost = sum(not is_whole(store, each) for each in sent)
    text = f"{len(sent)} to begin with, {lost} without their file or with a damaged one"
    return Finding("inputs", not lost, f"{text}: requests with them fail until they are sent again" if lost else text)
