"""What is sent again is answered again, and done once.

It is sent again if it has the `Idempotency-Key` of an earlier call that made something: a job, an uploaded file, a
batch, a secret (draft-ietf-httpapi-idempotency-key); or if an OpenAI client says that it tries the same once more
(`X-Stainless-Retry-Count`), as those do after a timeout or a lost connection: then the job of the first try is joined,
so long as nothing of it has failed or was cancelled. Keys and tries are committed with what they made. Who comes with
the same key meanwhile waits for that commit, and is told 409 when it takes too long. Forms of pages have a key in a
field, since browsers send no header: a second click makes no second job.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import timedelta

from flask import Response, g, has_request_context, request
from psycopg2.errors import LockNotAvailable
from sqlalchemy import Text, cast, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.clients import client_of
from app.schemas.submission import JobIn
from core.client_tables import IdempotencyKey
from core.errors import BadInput, KeyInFlight, KeyReused
from core.tables import Job, Request, State

HEADER, REPLAYED = "Idempotency-Key", "Idempotent-Replayed"
TRIES = "X-Stainless-Retry-Count"  # 0 at the first try
MOST_CHARS = 255
AGAIN_S = 1  # after which a call whose first is under way is sent again
TRY = "try\n"  # begins the key of a try, before its job's id; no client's key has a line break
TRIED_FOR = timedelta(minutes=10)  # so long the first try is known
FIELD = "idempotency_key"  # of pages' forms, which send no header
FORMS = ("web.submit", "web.submit_comparison", "web.new_key", "web.ask_what_if")


@dataclass(frozen=True)
class Key:
    """A client's word for one call, and the digest of what it sends."""

    client: str
    text: str
    digest: str


def first_job(session: Session, wanted: JobIn, source: str, job_id: uuid.UUID) -> uuid.UUID | None:
    """The job that this HTTP request made when it was sent before; none, and noted that it makes this one, the first
    time. In the caller's transaction. Raises as `first_made` does.
    """
    if not has_request_context():
        return None
    if HEADER in request.headers or _form_key():
        return first_made(session, _digest(source, wanted), job_id)
    if TRIES not in request.headers:
        return None
    digest = _digest(source, wanted)
    if request.headers[TRIES] != "0" and (first := _join(session, digest)):
        return first
    session.add(IdempotencyKey(client=client_of(), key=f"{TRY}{job_id}", digest=digest, job_id=job_id))
    return None


def _digest(source: str, wanted: JobIn) -> str:
    """Of all that was submitted, a prompt at a time."""
    found = hashlib.sha256(f"{source} {wanted.model_copy(update={'prompts': None}).model_dump_json()}".encode())
    for prompt in wanted.prompts or ():
        found.update(prompt.encode() if isinstance(prompt, str) else prompt.model_dump_json().encode())
        found.update(b"\n")
    return found.hexdigest()


def first_made(session: Session, digest: str, made: uuid.UUID) -> uuid.UUID | None:
    """What this HTTP request made when it was sent with the same `Idempotency-Key`, or by the same form, before; none,
    and noted that it makes this one, the first time, or if it has no key. In the caller's transaction.

    Args:
        digest: of all that was sent, as it was understood (`digest_of`).

    Raises:
        BadInput: a key that cannot be.
        KeyReused, KeyInFlight: as `claim`.
    """
    if not has_request_context():
        return None
    if (text := request.headers.get(HEADER)) is None:
        if not (form_key := _form_key()):
            return None
        text = digest_of(f"{request.endpoint} {form_key} {digest}".encode())  # what was changed since is another one
    elif not 1 <= len(text) <= MOST_CHARS or not text.isascii() or not text.isprintable():
        raise BadInput(f"The key has 1 to {MOST_CHARS} printable ASCII characters.", field=HEADER)
    return claim(session, Key(client_of(), text, digest), made)


def _form_key() -> str:
    """The key of a page's form; empty where there is none."""
    return request.form.get(FIELD, "") if request.endpoint in FORMS else ""


def digest_of(*parts: bytes) -> str:
    """The digest of something in parts."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()


def _join(session: Session, digest: str) -> uuid.UUID | None:
    """The job of an earlier try at the same, rather one that nobody waits for any more; now somebody does."""
    useless = select(Request.id).where(Request.job_id == Job.id, Request.state.in_((State.FAILED, State.CANCELLED)))
    tried = (
        select(Job)
        .join(IdempotencyKey, IdempotencyKey.job_id == Job.id)
        .where(IdempotencyKey.client == client_of(), IdempotencyKey.key == f"{TRY}" + cast(Job.id, Text))
        .where(IdempotencyKey.digest == digest, IdempotencyKey.created_at > func.now() - TRIED_FOR, ~useless.exists())
        .order_by(Job.abandoned_at, IdempotencyKey.created_at.desc())
        .limit(1)
    )
    job = session.scalar(tried)
    if job is None:
        return None
    job.abandoned_at = None
    g.replayed = True
    return job.id


def claim(session: Session, key: Key, made: uuid.UUID) -> uuid.UUID | None:
    """Note that this key makes this, in the caller's transaction; returns what it made before, if anything.

    Raises:
        KeyReused: it was sent before with something else.
        KeyInFlight: the first call with it takes longer than this one may wait.
    """
    row = {"client": key.client, "key": key.text, "digest": key.digest, "job_id": made}
    try:
        noted = session.execute(insert(IdempotencyKey).values(row).on_conflict_do_nothing())
    except OperationalError as error:
        if isinstance(error.orig, LockNotAvailable):
            raise KeyInFlight(
                "The first call with this key is still under way. Send it again.", field=HEADER, retry_after_s=AGAIN_S
            ) from None
        raise
    if noted.rowcount:  # type: ignore[attr-defined]
        return None
    mine = (IdempotencyKey.client == key.client, IdempotencyKey.key == key.text)
    first = session.scalars(select(IdempotencyKey).where(*mine)).one()
    if first.digest != key.digest:
        raise KeyReused("This key was sent before with something else.", field=HEADER)
    g.replayed = True
    return first.job_id


def add_header(response: Response) -> Response:
    """Say of an answer that what it tells of was there before."""
    if g.get("replayed"):
        response.headers[REPLAYED] = "true"
    return response
