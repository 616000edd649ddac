"""The header `Idempotency-Key`: what is sent again with the same key is answered again, and done once.

The key is committed with the job it made. Who comes with it meanwhile waits for that commit.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass

from flask import g, has_request_context, request
from psycopg2.errors import LockNotAvailable
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.clients import client_of
from app.schemas.submission import JobIn
from core.client_tables import IdempotencyKey
from core.errors import BadInput, Conflict, KeyReused

HEADER, REPLAYED = "Idempotency-Key", "Idempotent-Replayed"
MOST_CHARS = 255


@dataclass(frozen=True)
class Key:
    """A client's word for one submission, and the digest of what is submitted."""

    client: str
    text: str
    digest: str


def key_for(wanted: JobIn, source: str) -> Key | None:
    """The key that this HTTP request carries, for this job; raises `BadInput` for one that cannot be."""
    text = request.headers.get(HEADER) if has_request_context() else None
    if text is None:
        return None
    if not 1 <= len(text) <= MOST_CHARS or not text.isascii() or not text.isprintable():
        raise BadInput(f"The key has 1 to {MOST_CHARS} printable ASCII characters.", field=HEADER)
    digest = hashlib.sha256(f"{source} {wanted.model_dump_json()}".encode()).hexdigest()
    return Key(client_of(), text, digest)


def claim(session: Session, key: Key, job_id: uuid.UUID) -> uuid.UUID | None:
    """Note that this key makes this job, in the caller's transaction; returns the job that it made before, if any.

    Raises:
        KeyReused: it was sent before with something else.
        Conflict: the first submission with it takes longer than this one may wait.
    """
    row = {"client": key.client, "key": key.text, "digest": key.digest, "job_id": job_id}
    try:
        noted = session.execute(insert(IdempotencyKey).values(row).on_conflict_do_nothing())
    except OperationalError as error:
        if isinstance(error.orig, LockNotAvailable):
            raise Conflict("The first submission with this key is still under way. Ask again.", field=HEADER) from None
        raise
    if noted.rowcount:  # type: ignore[attr-defined]
        return None
    mine = (IdempotencyKey.client == key.client, IdempotencyKey.key == key.text)
    first = session.scalars(select(IdempotencyKey).where(*mine)).one()
    if first.digest != key.digest:
        raise KeyReused("This key was sent before with another submission.", field=HEADER)
    g.replayed = True
    return first.job_id


def headers() -> dict[str, str]:
    """What an answer says of it: whether the job was there before."""
    return {REPLAYED: "true"} if g.get("replayed") else {}
