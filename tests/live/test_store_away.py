"""The image store goes away under a worker, and comes back."""

from __future__ import annotations

import errno
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import text

from core.database import transaction
from core.errors import StoreDown
from core.images import ImageStore
from core.settings import settings
from tests.live.conftest import Stack


@contextmanager
def without_store() -> Iterator[None]:
    """The folder is moved away, and something that is no folder stands in its place."""
    root = Path(settings().image_url)
    root.mkdir(parents=True, exist_ok=True)
    aside = root.rename(root.with_name("aside"))
    root.write_text("no folder")
    try:
        yield
    finally:
        root.unlink()
        aside.rename(root)


def test_images_wait_for_a_store_that_is_away_and_no_attempt_is_lost(stack: Stack):
    with without_store():
        job = stack.submit(3, seconds=600)
        stack.publish(job)
        stack.wait_for(lambda: set(stack.states(job)) == {"running"}, "all drawn at once")
        time.sleep(3.0)  # by then they are drawn, and no image could be stored
        assert set(stack.states(job)) == {"running"}
    stack.wait_done(job)
    assert [attempt.outcome for attempt in stack.attempts(job)] == ["done"] * 3
    assert len(stack.images(job)) == 3


@pytest.mark.parametrize("step", ["mv", "open", "makedirs"])
def test_a_store_that_is_full_keeps_nothing_of_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str):
    store = ImageStore(str(tmp_path / "images"))

    def full(*given: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store._fs, step, full)
    with pytest.raises(StoreDown, match="No space left on device"):
        store.put(uuid.uuid4(), Image.new("RGB", (8, 8)))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_store_says_whether_it_can_be_written_and_leaves_nothing_behind(tmp_path: Path):
    (tmp_path / "file").write_text("no folder")
    assert ImageStore(str(tmp_path / "images")).is_writable()
    assert not ImageStore(str(tmp_path / "file")).is_writable()
    assert not list((tmp_path / "images").iterdir())


def test_no_transaction_keeps_others_waiting_for_long(stack: Stack):
    with transaction() as session:
        shown = {name: session.scalar(text(f"SHOW {name}")) for name in ("lock_timeout", "statement_timeout")}
        assert shown == {"lock_timeout": "10s", "statement_timeout": "5min"}
        assert session.scalar(text("SHOW idle_in_transaction_session_timeout")) == "1min"
