"""What a batch is, and each move of that, drawn once.

::

    validating ──▶ in_progress ──▶ (finalizing) ──▶ completed
        │               │
        ▼               ├── its window is over ──▶ expired
      failed            └── cancel ──▶ cancelling ──▶ cancelled

A batch has ended when all its lines are read (unless it expired or was cancelled) and no request of its job is open.
Whoever looks moves it on: `settle`. What was done by then is in its output file, all else in its error file.
"""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.access import caller, owned
from app.clients import client_of
from app.compat.openai.batch.files import MADE, UPLOADED, find_file, id_from, in_seconds, lines
from app.compat.openai.batch.validation import check
from app.idempotency import digest_of, first_made
from core.batch_tables import Batch, StoredFile
from core.errors import BadInput, NotFound
from core.families import load_family
from core.settings import settings
from core.tables import OPEN_STATES, Job, Request, ServiceClass
from core.user_moves import cancel_job

VALIDATING, IN_PROGRESS, CANCELLING = OPEN = ("validating", "in_progress", "cancelling")
COMPLETED, FAILED, EXPIRED, CANCELLED = "completed", "failed", "expired", "cancelled"
PREFIX = "batch_"
COUNTS = text(
    """
SELECT count(*) FILTER (WHERE l.error IS NULL AND d.done = l.images) AS completed,
       count(*) FILTER (WHERE l.error IS NOT NULL OR d.failed > 0) AS failed
FROM batch_line l LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE r.state = 'done') AS done, count(*) FILTER (WHERE r.state = 'failed') AS failed
    FROM request r WHERE r.job_id = :job AND r.position >= l.first AND r.position < l.first + l.images
) d ON true WHERE l.batch_id = :batch
"""
)
ABOUT_BYTES = text(  # of results: they are made when read, so their size is an estimate
    """
SELECT coalesce(sum(4 * i.bytes / 3 + 1500), 0)::bigint FROM request r JOIN image i ON i.request_id = r.id
WHERE r.job_id = :job AND r.state = 'done'
"""
)


def create(session: Session, input_file: str, labels: dict[str, str] | None) -> Batch:
    """A batch of a file, to be read by the keeper; sent again (`app.idempotency`) it is the first one.

    Raises `NotFound`, or `BadInput` for a file of another purpose.
    """
    made = uuid.uuid4()
    asked = json.dumps([input_file, labels], sort_keys=True)
    if first := first_made(session, digest_of(asked.encode()), made):
        return find_batch(session, f"{PREFIX}{first.hex}")
    file = find_file(session, input_file, "input_file_id")
    if file.purpose != UPLOADED:
        raise BadInput("This is a file of results; send one of purpose `batch`.", field="input_file_id")
    now = now_of(session)
    window = timedelta(seconds=settings().batch_window_s)
    batch = Batch(id=made, client=client_of(), tenant=caller().tenant, labels=labels, status=VALIDATING)
    batch.input_file_id = file.id
    batch.created_at, batch.expires_at = now, now + window
    batch.total = batch.completed = batch.failed = batch.lines_read = batch.bytes_read = 0
    session.add(batch)
    session.flush()
    return batch


def find_batch(session: Session, batch_id: str) -> Batch:
    """A batch by the id that clients know; raises `NotFound`."""
    known = id_from(batch_id, PREFIX)
    batch = session.scalar(owned(select(Batch).where(Batch.id == known))) if known else None
    if batch is None:
        raise NotFound(f"There is no batch {batch_id!r}.", field="batch_id")
    return batch


def validate(session: Session, batch: Batch) -> None:
    """Look at the file as a whole: in progress, with a job to be filled, or failed."""
    batch.total, errors = check(lines(session, batch.input_file_id))
    if errors:
        batch.status, batch.errors, batch.failed_at, batch.total = FAILED, errors, now_of(session), 0
        return
    family, title = load_family(settings().family), f"{PREFIX}{batch.id.hex}"
    job = Job(id=uuid.uuid4(), client=batch.client, family=family.id, source="openai", title=title, size=0)
    job.tenant, job.service_class, job.created_at = batch.tenant, ServiceClass.BATCH, batch.created_at
    session.add(job)
    session.flush()
    batch.status, batch.in_progress_at, batch.job_id = IN_PROGRESS, now_of(session), job.id


def cancel(session: Session, batch: Batch) -> None:
    """Read no further, and cancel what is open of its job; one that has ended stays as it is."""
    if batch.status in (VALIDATING, IN_PROGRESS):
        batch.status, batch.cancelling_at = CANCELLING, now_of(session)
        _cancel_requests(session, batch)


def settle(session: Session, batch: Batch) -> None:
    """Move a batch on that is over its window, or of which nothing is open any more."""
    now = now_of(session)
    if batch.status in (VALIDATING, IN_PROGRESS) and now >= batch.expires_at:
        _cancel_requests(session, batch)
        _end(session, batch, EXPIRED, now)
    elif not _is_open(session, batch):
        _end(session, batch, CANCELLED if batch.status == CANCELLING else COMPLETED, now)


def counts(session: Session, batch: Batch) -> tuple[int, int]:
    """Lines that are completed, and that failed."""
    if batch.status not in OPEN:
        return batch.completed, batch.failed
    found = session.execute(COUNTS, {"batch": batch.id, "job": batch.job_id}).one()
    return found.completed, found.failed


def now_of(session: Session) -> datetime:
    """The database's clock."""
    return session.execute(select(func.now())).scalar_one()


def _is_open(session: Session, batch: Batch) -> bool:
    unread = batch.status == IN_PROGRESS and batch.lines_read < batch.total
    if batch.status not in (IN_PROGRESS, CANCELLING) or unread:
        return True
    mine = select(Request.id).where(Request.job_id == batch.job_id, Request.state.in_(OPEN_STATES)).limit(1)
    return session.scalar(mine) is not None


def _cancel_requests(session: Session, batch: Batch) -> None:
    job = session.get(Job, batch.job_id) if batch.job_id else None
    if job is not None:
        cancel_job(session, job)


def _end(session: Session, batch: Batch, status: str, now: datetime) -> None:
    batch.completed, batch.failed = counts(session, batch)
    wrong = batch.total - batch.completed
    if status != CANCELLED:
        batch.failed = wrong
    batch.status = status
    setattr(batch, f"{status}_at", now)
    if status == COMPLETED:
        batch.finalizing_at = now
    size = session.execute(ABOUT_BYTES, {"job": batch.job_id}).scalar_one() if batch.completed else 0
    batch.output_file_id = _file(session, batch, "output", int(size)) if batch.completed else None
    batch.error_file_id = _file(session, batch, "error", 400 * wrong) if wrong else None


def _file(session: Session, batch: Batch, kind: str, size: int) -> uuid.UUID:
    name = f"{PREFIX}{batch.id.hex}_{kind}.jsonl"
    made: dict[str, Any] = {"purpose": MADE, "filename": name, "bytes": size, "batch_id": batch.id}
    file = StoredFile(id=uuid.uuid4(), client=batch.client, tenant=batch.tenant, **made)
    file.expires_at = in_seconds(session, batch.output_expires_s)
    session.add(file)
    session.flush()
    return file.id
