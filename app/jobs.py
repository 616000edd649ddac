"""Submitting, cancelling and removing jobs. Rows are committed before anything is published."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import structlog
from flask import request
from sqlalchemy import bindparam, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import Session

from app.access import caller, owned
from app.backlog import BACKLOG
from app.bell import BELL
from app.clients import actor_of, client_of
from app.idempotency import HEADER, first_job
from app.listening import LISTENER
from app.prompts.texts import clean_text
from app.quota import take_quota
from app.schemas.submission import TITLE_CHARS, JobIn
from app.submission import each_row
from app.target import TARGET
from app.webhooks import NATIVE, check_signs, target_asked
from core.client_tables import ClientAction
from core.database import AWAY, NUMBER, TOLD, certain_transaction, quick_transaction, transaction
from core.errors import NotFound, OutcomeUnknown
from core.families import Family, load_family
from core.images import ImageStore
from core.kinds import share_of
from core.outputs import JobOutput, output_of
from core.requests import copy_requests
from core.row_spool import RowSpool
from core.settings import settings
from core.tables import Image, Job, Request, ServiceClass
from core.user_moves import cancel_job, cancel_requests

log = structlog.get_logger(__name__)
Shape = tuple[int, int, int, float]
LISTED = 10_000  # requests of a job that the answer to its submission lists
# A job and who made it; it tells the address of its own or, as `usual`, its tenant's (`app.webhooks`).
INSERT = text(f"""
WITH noted AS (
    INSERT INTO client_action (client, action, job_id, details) VALUES (:actor, 'created', :id, :details)
)
INSERT INTO job (id, family, source, client, tenant, title, size, service_class, created_at, published_at, webhook)
VALUES (:id, :family, :source, :client, :tenant, :title, :size, :service_class, now(), now(), coalesce(:hook, (
    SELECT jsonb_build_object('url', url, 'host', host, 'events', events) FROM webhook_endpoint
    WHERE tenant = :tenant AND url IS NOT NULL AND gone_at IS NULL AND :usual
)))
RETURNING {NUMBER} AS number, created_at
""").bindparams(
    bindparam("id", type_=UUID()),
    bindparam("details", type_=JSONB()),
    bindparam("hook", type_=JSONB(none_as_null=True)),
)
BREATH, BREATH_S = 200, 0.002  # after so many rows, so long, other threads of this process are let run


@dataclass
class Checked:
    """What is known of a job that was checked: steps, widths, heights and shares in it, and its first requests."""

    shapes: set[Shape] = field(default_factory=set)
    first: list[Submission] = field(default_factory=list)


class Submission(NamedTuple):
    """A request as it was committed, as far as the answer to its submission tells."""

    id: uuid.UUID
    seed: int
    custom_id: str | None
    truncated_tokens: int | None
    negative_truncated_tokens: int | None


@dataclass(frozen=True)
class Submitted:
    """A job whose rows are committed, with its first requests in order."""

    job: Job
    accepted_at: datetime
    deadline_at: datetime
    published: bool
    requests: Sequence[Submission]


def submit(wanted: JobIn, source: str, previews: int = 0, most: int | None = None) -> Submitted:
    """Check a job, commit its rows in one transaction, publish `Route`.

    A broker that is away changes nothing for the client: `published` is false, and reconciliation publishes it later.
    Sent again (`app.idempotency`), it is the job of the first time.

    Args:
        previews: how many each request shows on its way (`core.progress`).
        most: images that the job may have; left out ARGUS_MAX_PROMPTS.

    Raises:
        BadInput and its kinds, TooLarge, OverQuota, TooMuchWaiting, OperationalError: nothing is stored.
        OutcomeUnknown: the database went away, and did not come back to say; the message names the job.
    """
    family = load_family(settings().family)
    title = clean_text(wanted.title or "", "title", TITLE_CHARS, empty=True) or None
    job = Job(id=uuid.uuid4(), client=client_of(), family=family.id, source=source, title=title)
    job.tenant, job.service_class = caller().tenant, ServiceClass(wanted.service_class)
    hook, output = target_asked(wanted.webhook, wanted.webhook_events), output_of(wanted.output, job.tenant, job.id)
    with RowSpool() as rows:
        checked = _check(wanted, family, previews, most or settings().max_prompts, rows)
        job.size = rows.count
        try:
            with certain_transaction(lambda: select(Job.id).where(Job.id == job.id)) as session:
                if first := first_job(session, wanted, source, job.id):
                    return _submitted(session, first)
                take_quota(session, job.tenant, rows.count)
                BACKLOG.admit(session, client_of(), rows.count)
                _insert(session, job, hook)
                deadline_at = job.created_at + timedelta(seconds=_patience_s(session, wanted, family, checked.shapes))
                if output:
                    session.add(JobOutput(job_id=job.id, url=output))
                copy_requests(session, job, rows, deadline_at, _start_by(job, wanted))
        except OutcomeUnknown as error:
            raise OutcomeUnknown(f"{error.message} If it did, it is job {job.id}.") from error
    return Submitted(job, job.created_at, deadline_at, _publish(job), checked.first)


def _check(wanted: JobIn, family: Family, previews: int, most: int, rows: RowSpool) -> Checked:
    """Check a job, its rows being written down; other requests go on meanwhile."""
    checked = Checked()
    for row in each_row(wanted, family, most):
        row |= {"id": uuid.uuid4(), "previews": previews}
        rows.add(row)
        checked.shapes.add((row["steps"], row["width"], row["height"], share_of(row["strength"], row["own_kind"])))
        if rows.count <= LISTED:
            checked.first.append(Submission(*(row[name] for name in Submission._fields)))
        if rows.count % BREATH == 0:
            time.sleep(BREATH_S)
    return checked


def _insert(session: Session, job: Job, hook: dict[str, Any] | None) -> None:
    """Insert a job, and note who made it, in one statement; the job then has the time, the transaction its number."""
    columns = {name: getattr(job, name) for name in ("id", "family", "source", "client", "tenant", "title", "size")}
    check_signs(session, hook, job.tenant)
    more = {"service_class": job.service_class.value, "hook": hook, "usual": hook is None and job.source in NATIVE}
    details = {"source": job.source, "requests": job.size}
    made = session.execute(INSERT, {**columns, **more, "actor": actor_of(), "details": details}).one()
    session.info[TOLD], job.created_at, job.published_at = made.number, made.created_at, made.created_at


def _start_by(job: Job, wanted: JobIn) -> datetime | None:
    """By when its requests have to have begun; none where that does not matter."""
    return None if wanted.start_within_s is None else job.created_at + timedelta(seconds=wanted.start_within_s)


def _publish(job: Job) -> bool:
    """Publish a committed job; nothing that goes wrong here may look as if it were not accepted.

    It was committed as published, which spares a transaction where the broker is there; where it is not, that is taken
    back. Reconciliation goes by the requests.
    """
    if BELL.ring(job.id):
        return True
    job.published_at = None
    try:
        with quick_transaction() as session:
            session.execute(update(Job).where(Job.id == job.id).values(published_at=None))
    except AWAY as error:
        log.warning("database away", error=str(error))
    return False


def _submitted(session: Session, job_id: uuid.UUID) -> Submitted:
    """A job as it was answered when it was submitted; raises `NotFound` once it was removed."""
    job = session.get(Job, job_id)
    if job is None:
        raise NotFound(f"Job {job_id}, which this key made, was removed.", field=HEADER)
    told = [getattr(Request, name) for name in Submission._fields]
    mine = select(Request.deadline_at, *told).where(Request.job_id == job_id)
    rows = session.execute(mine.order_by(Request.position).limit(LISTED)).all()
    requests = [Submission(*row[1:]) for row in rows]
    return Submitted(job, job.created_at, rows[0].deadline_at, job.published_at is not None, requests)


def _patience_s(session: Session, wanted: JobIn, family: Family, shapes: Iterable[Shape]) -> float:
    """Seconds from acceptance to deadline: as asked, the batch window, or the SLO, longer where a request takes longer
    at the reference level than a usual one."""
    if wanted.deadline_s is not None:
        return wanted.deadline_s
    if ServiceClass(wanted.service_class) is ServiceClass.BATCH:
        return settings().batch_window_s
    lengths = [family.lengths((family.reference,), *shape) for shape in shapes]
    return TARGET.seconds(session, family) * max([1.0, *(each for one in lengths for each in one)])


def cancel(job_id: uuid.UUID) -> int:
    """Cancel what is open of a job; returns how many requests that were. A second time it finds none.

    Requests that run are given up by their worker at its next denoising step; images that exist stay.

    Raises:
        NotFound: there is no such job.
    """
    with transaction() as session:
        count = cancel_job(session, locked(session, job_id))
        if count:
            note(session, job_id, "cancelled", requests=count)
        return count


def abandon(job_id: uuid.UUID) -> None:
    """The client that waited for a job has hung up: unless it comes back, what has not begun is cancelled
    (`core.unserved.cancel_abandoned`). Not where somebody else waits for it, it may come back any time with its
    `Idempotency-Key`, or ARGUS_COMPAT_HANG_UP says otherwise."""
    if settings().compat_hang_up == "finish" or HEADER in request.headers or LISTENER.is_followed(job_id):
        return
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(abandoned_at=func.now()))


def skip(job_id: uuid.UUID, requests: Sequence[uuid.UUID]) -> int:
    """Cancel these requests of a job, which goes on; returns how many were open."""
    with transaction() as session:
        count = cancel_requests(session, requests)
        if count:
            note(session, job_id, "cancelled", requests=count)
        return count


def purge(job_id: uuid.UUID) -> None:
    """Remove a job with its requests, attempts, scores and images. Files go after the rows: none is ever missing.

    Raises:
        NotFound: there is no such job.
    """
    with transaction() as session:
        job = locked(session, job_id)
        found = select(Image.id, Image.key).join(Request).where(Request.job_id == job_id)
        images = session.execute(found).all()
        note(session, job_id, "removed", requests=job.size, images=[str(image.id) for image in images])
        session.execute(delete(Job).where(Job.id == job_id))
    store = ImageStore()
    for image in images:
        store.delete(image.key)


def note(session: Session, job_id: uuid.UUID, action: str, **details: Any) -> None:
    """Record who does this, with what is done."""
    session.add(ClientAction(client=actor_of(), action=action, job_id=job_id, details=details))


def locked(session: Session, job_id: uuid.UUID) -> Job:
    """A job of the caller's, which nobody else changes meanwhile; raises `NotFound`."""
    job = session.scalar(owned(select(Job).where(Job.id == job_id)).with_for_update())
    if job is None:
        raise NotFound(f"There is no job {job_id}.", field="id")
    return job
