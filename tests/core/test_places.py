"""A bucket is written by many and answers with errors of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from core.errors import StoreDown
from core.images import ImageStore


class NoConnection(Exception):
    """As `botocore` has it: no kind of OSError."""


class Bucket(MemoryFileSystem):
    """Keeps listings as clients of buckets do, unless it is told not to; cannot be reached while a test wants that."""

    protocol = "bucket"
    store: dict[str, Any] = {}
    pseudo_dirs = [""]
    away = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("bucket://"))

    def ls(self, path: str, detail: bool = True, **rest: Any) -> Any:
        self._reach()
        path = self._strip_protocol(path)
        if path not in self.dircache:
            self.dircache[path] = found = super().ls(path, detail=True, **rest)
            return found
        return self.dircache[path]

    def info(self, path: str, **rest: Any) -> Any:
        self._reach()
        path = self._strip_protocol(path)
        parent = path.rpartition("/")[0]
        if parent in self.dircache:
            for entry in self.dircache[parent]:
                if entry["name"] == path:
                    return entry
            raise FileNotFoundError(path)
        return super().info(path, **rest)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        self._reach()
        super().makedirs(path, exist_ok)

    def _open(self, *some: Any, **rest: Any) -> Any:
        self._reach()
        return super()._open(*some, **rest)

    def _reach(self) -> None:
        if self.away:
            raise NoConnection("Could not connect to the endpoint URL")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Bucket]]:
    fsspec.register_implementation("bucket", Bucket, clobber=True)
    monkeypatch.setattr(Bucket, "store", {})
    monkeypatch.setattr(Bucket, "pseudo_dirs", [""])
    yield Bucket
    Bucket.clear_instance_cache()


def picture() -> Image.Image:
    return Image.new("RGB", (8, 8), "red")


def test_a_file_that_another_process_has_stored_since_the_last_look_is_there(bucket: type[Bucket]) -> None:
    ours = ImageStore("bucket://argus/images")
    first = ours.put(uuid.uuid4(), picture())
    assert first.key in list(ours.files())
    bucket.clear_instance_cache()  # another process has a file system of its own
    second = ImageStore("bucket://argus/images").put(uuid.uuid4(), picture())
    assert ours.size(second.key) == second.bytes
    assert second.key in list(ours.files())


def test_a_bucket_that_cannot_be_reached_is_a_store_that_is_down(
    bucket: type[Bucket], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ImageStore("bucket://argus/images")
    stored = store.put(uuid.uuid4(), picture())
    monkeypatch.setattr(bucket, "away", True)
    for asked in (
        lambda: store.get(stored.key),
        lambda: store.size(stored.key),
        lambda: store.put(uuid.uuid4(), picture()),
        lambda: list(store.files()),
    ):
        with pytest.raises(StoreDown, match="Could not connect"):
            asked()
    assert not store.is_writable()
    monkeypatch.setattr(bucket, "away", False)
    assert store.get(stored.key, stored.sha256)
