"""Uploaded files: in parts in PostgreSQL, read piece by piece and line by line, never whole."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import IO

from flask import request
from sqlalchemy import ColumnElement, delete, func, insert, or_, select
from sqlalchemy.orm import Session

from app import idempotency
from app.access import caller, owned
from app.clients import client_of
from core.batch_tables import Batch, FilePart, StoredFile
from core.errors import BadInput, Conflict, NotFound

PIECE = 256 * 1024
LINE_BYTES = 1024 * 1024
UPLOADED, MADE = "batch", "batch_output"  # purposes
PREFIX = "file-"
NAME_CHARS = 255


@dataclass(frozen=True)
class Line:
    """A line of a file that is not blank; `end` is where the next begins, in bytes."""

    text: bytes
    end: int


def upload(session: Session, stream: IO[bytes], name: str, expires_s: int | None = None) -> StoredFile:
    """Keep a file that is sent, once (`app.idempotency`), for so many seconds, or until it is deleted.

    Raises:
        BadInput: it is empty.
        NotFound: it was sent before and removed since.
    """
    made = uuid.uuid4()
    if idempotency.HEADER in request.headers:
        digest = idempotency.digest_of(f"{name} {expires_s}".encode(), *iter(lambda: stream.read(PIECE), b""))
        stream.seek(0)
        if first := idempotency.first_made(session, digest, made):
            return find_file(session, f"{PREFIX}{first.hex}")
    file = _store(session, stream, name, made)
    file.expires_at = in_seconds(session, expires_s)
    return file


def in_seconds(session: Session, seconds: int | None) -> datetime | None:
    """So long from now, by the database's clock, which `created_at` is of."""
    return None if seconds is None else session.execute(select(func.now())).scalar_one() + timedelta(seconds=seconds)


def unexpired() -> ColumnElement[bool]:
    """Whether a file is still there for clients; the scheduler removes those that are not."""
    return or_(StoredFile.expires_at.is_(None), StoredFile.expires_at > func.now())


def _store(session: Session, stream: IO[bytes], name: str, made: uuid.UUID) -> StoredFile:
    whose = {"client": client_of(), "tenant": caller().tenant}
    file = StoredFile(id=made, **whose, purpose=UPLOADED, filename=name[-NAME_CHARS:], bytes=0)
    session.add(file)
    session.flush()
    number = 0
    while piece := stream.read(PIECE):
        session.execute(insert(FilePart).values(file_id=file.id, number=number, content=piece))
        file.bytes, number = file.bytes + len(piece), number + 1
    if not number:
        raise BadInput("The file is empty: send one with a call a line.", field="file")
    return file


def find_file(session: Session, file_id: str, field: str = "file_id") -> StoredFile:
    """A file by the id that clients know; raises `NotFound`."""
    known = id_from(file_id, PREFIX)
    file = session.scalar(owned(select(StoredFile).where(StoredFile.id == known, unexpired()))) if known else None
    if file is None:
        raise NotFound(f"There is no file {file_id!r}.", field=field)
    return file


def id_from(text: str, prefix: str) -> uuid.UUID | None:
    """Our id, of one that clients know."""
    try:
        return uuid.UUID(text.removeprefix(prefix)) if text.startswith(prefix) else None
    except ValueError:
        return None


def remove(session: Session, file: StoredFile) -> None:
    """Remove a file; raises `Conflict` while a batch reads it. Results can't be read any more then, images stay."""
    reading = select(Batch).where(Batch.input_file_id == file.id, Batch.status.in_(("validating", "in_progress")))
    if any(batch.status == "validating" or batch.lines_read < batch.total for batch in session.scalars(reading)):
        raise Conflict("A batch is being read from this file: cancel it first, or wait until it is in progress.")
    session.execute(delete(StoredFile).where(StoredFile.id == file.id))


def pieces(session: Session, file_id: uuid.UUID, first: int = 0) -> Iterator[bytes]:
    """The parts of a file, from one on."""
    while True:
        part = select(FilePart.content).where(FilePart.file_id == file_id, FilePart.number == first)
        if (content := session.scalar(part)) is None:
            return
        yield content
        first += 1


def lines(session: Session, file_id: uuid.UUID, start: int = 0) -> Iterator[Line]:
    """The lines of a file that are not blank, from a byte on at which one begins. Of one that is longer than
    LINE_BYTES so much is kept, which is no JSON any more."""
    held, place, skipped = b"", start, 0
    for piece in _pieces_from(session, file_id, start):
        *whole, held = (held + piece).split(b"\n")
        for text in whole:
            place += len(text) + 1 + skipped
            skipped = 0
            if text.strip():
                yield Line(text[:LINE_BYTES].strip(), place)
        if len(held) > LINE_BYTES:
            skipped, held = skipped + len(held) - LINE_BYTES, held[:LINE_BYTES]
    if held.strip():
        yield Line(held[:LINE_BYTES].strip(), place + len(held) + skipped)


def _pieces_from(session: Session, file_id: uuid.UUID, start: int) -> Iterator[bytes]:
    first = True
    for piece in pieces(session, file_id, start // PIECE):
        yield piece[start % PIECE :] if first else piece
        first = False
