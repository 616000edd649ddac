"""A job's images with their manifest as a ZIP or tar, written while it is read: never in memory, never on a disk.

Images first, the manifest (as CSV and as JSON lines) last: it says of each request what came of it, also of those whose
image was removed. PNG does not shrink, so nothing is compressed.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from typing import IO, Any, Protocol

from core.csv_cells import as_csv
from core.errors import NotFound
from core.images import ImageStore
from core.results import COLUMNS, Result, as_json_line

IN_MEMORY = 1024 * 1024  # bytes of a manifest, beyond which it lies on the disk meanwhile
MANIFEST = "manifest"


class Sink(io.RawIOBase):
    """A file that nobody can seek in, whose bytes are taken away as they come."""

    def __init__(self) -> None:
        super().__init__()
        self._written: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._written.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        """What was written since."""
        found, self._written = b"".join(self._written), []
        return found


class Archive(Protocol):
    """Takes files one after the other."""

    def add(self, name: str, data: bytes) -> None: ...
    def close(self) -> None: ...


class Zip:
    """A ZIP, of any size."""

    def __init__(self, sink: Sink) -> None:
        self._file = zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED)
        self.close = self._file.close

    def add(self, name: str, data: bytes) -> None:
        self._file.writestr(name, data)


class Tar:
    """A tar, as POSIX has it."""

    def __init__(self, sink: Sink) -> None:
        self._file = tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - `close`
        self.close = self._file.close

    def add(self, name: str, data: bytes) -> None:
        about = tarfile.TarInfo(name)
        about.size, about.mtime = len(data), int(time.time())
        self._file.addfile(about, io.BytesIO(data))


KINDS: dict[str, Any] = {"zip": Zip, "tar": Tar}


def archive(kind: str, found: Iterator[Result]) -> Iterator[bytes]:
    """The archive, piece by piece; raises `StoreDown` where the image store goes away meanwhile."""
    sink, store = Sink(), ImageStore()
    made: Archive = KINDS[kind](sink)
    with _text() as table, _text() as lines:
        table.write(as_csv(*COLUMNS))
        for result in found:
            row = result.row
            try:
                if result.key:
                    made.add(row["file"], store.get(result.key))
            except NotFound:
                row = result.without_image
            table.write(as_csv(*row.values()))
            lines.write(as_json_line(row))
            if piece := sink.taken():
                yield piece
        for ending, file in (("csv", table), ("jsonl", lines)):
            file.seek(0)
            made.add(f"{MANIFEST}.{ending}", file.read().encode())
            yield sink.taken()
    made.close()
    yield sink.taken()


def _text() -> IO[str]:
    return tempfile.SpooledTemporaryFile(IN_MEMORY, "w+", encoding="utf-8", newline="")
