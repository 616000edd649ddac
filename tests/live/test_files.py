"""Rows and files of the image store: what no row names goes, what a row names comes back."""

from __future__ import annotations

import io
import os
import time
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image as Pillow
from sqlalchemy import func, select, update

from cli.checks.files import files
from core.counters import counted
from core.database import transaction
from core.images import ImageStore, encode_png, thumbnail_key
from core.settings import settings
from core.tables import Attempt, Image, Job, Request, State
from scheduler.control import missing_files, orphan_files
from scheduler.control.files import FilesAndRows
from scheduler.control.missing_files import MissingFiles
from scheduler.control.orphan_files import OrphanFiles
from tests.live.rows import submit
from tests.live.site import Site

HOURS_2 = 7200.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of the test's own."""
    monkeypatch.setenv("ARGUS_IMAGES", str(tmp_path / "images"))
    settings.cache_clear()
    return tmp_path / "images"


def put(store: ImageStore, age_s: float = HOURS_2) -> str:
    stored = store.write(f"2026/01/01/{uuid.uuid4()}.png", encode_png(Pillow.new("RGB", (8, 8)), {}))
    written = time.time() - age_s
    os.utime(store.path(stored.key), (written, written))
    return stored.key


def drawn(site: Site, count: int = 1, **columns: object) -> list[uuid.UUID]:
    """Requests with an image each, as the worker leaves them."""
    requests = [site.submit(steps=2, **columns) for _ in range(count)]
    for request in requests:
        site.generation.generate(request, 0)
    return requests


def files_and_rows(site: Site) -> FilesAndRows:
    made = FilesAndRows(site.family)
    made.missing._after = missing_files.FIRST  # from the beginning, so that a turn sees all
    return made


def redraw(site: Site) -> uuid.UUID:
    """Have the worker draw what was ordered, as it would when idle; returns the request."""
    with transaction() as session:
        request = session.scalars(select(Request).join(Job).where(Job.title == "redrawn")).one()
        request.state, request.level = State.QUEUED, request.level_asked
    end = time.monotonic() + 30
    while site.row(request.id).state != State.DONE:
        assert time.monotonic() < end
        site.generation.fill()  # a worker knows of background work as of a second ago, and asks again
        time.sleep(0.05)
    return request.id


def test_a_stored_file_that_no_row_names_goes_when_it_is_old(folder: Path, site: Site):
    (request,) = drawn(site)
    store, mine = ImageStore(), site.image(request).key
    os.utime(store.path(mine), (1.0, 1.0))
    old, young = put(store), put(store, age_s=60.0)
    foreign = folder / "notes.png"
    foreign.write_text("somebody else's")
    os.utime(foreign, (1.0, 1.0))
    partial = Path(f"{store.path(old)}.partial")
    partial.write_bytes(b"half")
    os.utime(partial, (1.0, 1.0))
    agreed = files_and_rows(site).turn()
    assert (agreed.orphans_removed, agreed.partials_removed) == (1, 1)
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert left == {mine, thumbnail_key(mine), young, "notes.png"}


def test_a_thumbnail_whose_image_no_row_names_goes_too(folder: Path, site: Site):
    store = ImageStore()
    lone = f"2026/01/01/{uuid.uuid4()}.thumb.webp"
    store.write(lone, b"small")
    os.utime(store.path(lone), (1.0, 1.0))
    assert files_and_rows(site).turn().orphans_removed == 1
    assert not Path(store.path(lone)).exists()


def test_no_file_goes_that_an_open_attempt_may_still_record(folder: Path, site: Site):
    """A worker that is frozen between storing and recording may be thawed hours later."""
    key = put(ImageStore())
    slot = site.begin(site.submit())
    with transaction() as session:
        session.execute(update(Attempt).values(started_at=func.now() - timedelta(hours=3)))
    assert files_and_rows(site).turn().orphans_removed == 0
    assert Path(ImageStore().path(key)).exists()
    site.finish(slot)
    assert files_and_rows(site).turn().orphans_removed == 1


def test_a_row_that_comes_between_listing_and_looking_saves_its_file(folder: Path, site: Site, monkeypatch):
    """Rows are read last: whatever is committed before that is seen."""
    store = ImageStore()
    key = put(store)
    request = site.submit(steps=2)
    site.generation.generate(request, 0)
    read = orphan_files._none_can_record_since

    def meanwhile() -> object:
        before = read()
        with transaction() as session:
            session.execute(update(Image).values(key=key, id=uuid.UUID(Path(key).stem)))
        return before

    monkeypatch.setattr(orphan_files, "_none_can_record_since", meanwhile)
    assert OrphanFiles(store).look(100).files == ()


def test_a_turn_reads_some_files_and_goes_on_where_it_was(folder: Path, site: Site):
    store = ImageStore()
    keys = {put(store) for _ in range(7)}
    orphans = OrphanFiles(store)
    seen = [orphans.look(3) for _ in range(3)]
    assert [found.seen for found in seen] == [3, 3, 1]
    assert {key for found in seen for key in found.files} == keys
    assert orphans.look(3).seen == 3  # and then from the beginning


@pytest.mark.parametrize("harm", ["gone", "cut", "changed"])
def test_an_image_whose_file_is_lost_is_drawn_again_at_its_address(folder: Path, site: Site, harm: str):
    (request,) = drawn(site)
    before, path = site.image(request), Path(ImageStore().path(site.image(request).key))
    picture, data = Pillow.open(io.BytesIO(path.read_bytes())), path.read_bytes()
    picture.load()
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:100] if harm == "cut" else data[:-20] + b"x" * 20)
    agreement = files_and_rows(site)
    assert agreement.turn().images_missing == 1
    assert site.image(request).missing_at is not None
    again = redraw(site)
    assert agreement.turn().images_restored == 1
    after = site.image(request)
    assert (after.id, after.key, after.missing_at, after.redraw_id) == (before.id, before.key, None, None)
    restored = Pillow.open(io.BytesIO(ImageStore().get(after.key, after.sha256)))
    assert restored.tobytes() == picture.tobytes()
    assert site.row(request).state == State.DONE
    with transaction() as session:
        assert session.get(Request, again) is None
    assert list(folder.rglob("*.png")) == [path]


def test_an_image_whose_file_is_back_is_whole_again_and_its_redraw_goes(folder: Path, site: Site):
    (request,) = drawn(site)
    path = Path(ImageStore().path(site.image(request).key))
    aside = path.rename(path.with_suffix(".aside"))
    agreement = files_and_rows(site)
    assert agreement.turn().images_missing == 1
    aside.rename(path)
    assert agreement.turn().images_restored == 1
    with transaction() as session:
        assert not session.scalars(select(Job).where(Job.title == "redrawn")).all()


def test_an_image_of_another_version_of_the_family_is_marked_and_not_drawn_again(folder: Path, site: Site):
    (request,) = drawn(site)
    with transaction() as session:
        session.execute(update(Image).values(family_version="0"))
    Path(ImageStore().path(site.image(request).key)).unlink()
    files_and_rows(site).turn()
    image = site.image(request)
    assert image.missing_at is not None
    assert image.redraw_id is None


def test_where_most_files_are_missing_the_store_is_doubted_and_nothing_is_marked(folder: Path, site: Site):
    """A folder that is not mounted is empty, and can be written."""
    requests = drawn(site, 8)
    for request in requests:
        Path(ImageStore().path(site.image(request).key)).unlink()
    assert files_and_rows(site).turn().images_missing == 0
    assert not any(site.image(request).missing_at for request in requests)


def test_a_store_that_is_away_costs_the_turn(folder: Path, site: Site):
    drawn(site)
    folder.rename(folder.with_name("aside"))
    folder.write_text("no folder")
    assert files_and_rows(site).turn().images_missing == 0


def test_what_was_done_is_counted(folder: Path, site: Site):
    put(ImageStore())
    files_and_rows(site).turn()
    assert counted()["orphans_removed"] == 1


def test_all_images_are_looked_at_whatever_the_turns_hold(database: object, toy: Path, folder: Path):
    job = submit(7, state=State.DONE, level="exact")
    with transaction() as session:
        for row in session.scalars(select(Request).where(Request.job_id == job)):
            tried = Attempt(id=uuid.uuid4(), request_id=row.id, number=1, worker="w", boot=uuid.uuid4(), level="exact")
            tried.model = "large"
            session.add(tried)
            session.flush()
            about = {"width": 8, "height": 8, "bytes": 1, "sha256": "0", "level": "exact", "model": "large"}
            image = Image(id=uuid.uuid4(), request_id=row.id, attempt_id=tried.id, key=f"{row.id}.png", **about)
            image.family_version = "1"
            session.add(image)
    found = [missing.gone for missing in MissingFiles(ImageStore()).look_at_all(3)]
    assert [len(gone) for gone in found] == [3, 3, 1]
    assert len({image for gone in found for image in gone}) == 7


def test_the_doctor_looks_at_all_and_changes_nothing_unless_it_is_told_to(folder: Path, site: Site):
    (request,) = drawn(site)
    lone, path = put(ImageStore()), Path(ImageStore().path(site.image(request).key))
    path.write_bytes(b"another picture")
    wrong = [finding.subject for finding in files(repair=False) if not finding.ok]
    assert wrong == ["files", "images"]
    assert Path(ImageStore().path(lone)).exists()
    assert site.image(request).missing_at is None
    assert all(finding.ok for finding in files(repair=True))
    assert not Path(ImageStore().path(lone)).exists()
    redraw(site)
    assert all(finding.ok for finding in files(repair=True))
    assert all(finding.ok for finding in files(repair=False))
    assert site.image(request).missing_at is None
