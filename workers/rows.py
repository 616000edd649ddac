"""What happens to a request's row while a worker has it. Each function is one short transaction.

::

    queued ──claim──▶ running ──store──▶ done
       ▲                 │
       └──── release ────┴──▶ failed | cancelled

A row in `running` belongs to its newest attempt. Every later move names that attempt, so a worker that was given up
for lost and comes back finds its moves without effect.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.orm import Session

from core.celery import publish
from core.database import transaction
from core.families import Family
from core.images import Stored
from core.messages import Generate
from core.settings import settings
from core.tables import Attempt, Image, Job, Request, ServiceClass, State, Worker

if TYPE_CHECKING:
    from workers.engine.order import Outcome

JUST_BEGUN_S = 10.0  # between the claim's commit and the worker's own note lies a moment
COUNTED = ("failed", "lost")  # outcomes that use up attempts; a worker that stops in order costs none


@dataclass(frozen=True)
class Me:
    """This run of a worker: its name and the boot that tells it from earlier runs."""

    name: str
    boot: uuid.UUID


@dataclass(frozen=True)
class Claim:
    """A request that is this worker's to do. `request` is detached: plain values, no session."""

    request: Request
    attempt: uuid.UUID
    number: int


def waiting(family: Family, levels: Sequence[str], background: bool, most: int) -> list[Request]:
    """Queued requests of these levels, earliest deadline first.

    Those with a latency target that can still be met; or the `background`: set aside as hopeless, then batch work.
    """
    batch = Request.service_class == ServiceClass.BATCH
    query = (
        select(Request)
        .where(Request.state == State.QUEUED, Request.family == family.id, Request.level.in_(levels))
        .where(or_(batch, Request.hopeless) if background else and_(~batch, ~Request.hopeless))
        .order_by(batch, Request.deadline_at, Request.id)
        .limit(most)
    )
    with transaction() as session:
        return list(session.scalars(query))


def take(
    request_id: uuid.UUID, me: Me, family: Family, levels: Sequence[str], level: str | None = None
) -> Claim | None:
    """Claim a queued request of one of these levels, to be run at its own or at another `level`; None when it is gone."""
    taken = (
        update(Request)
        .where(Request.id == request_id, Request.state == State.QUEUED, Request.level.in_(levels))
        .values(state=State.RUNNING, worker=me.name, attempts=Request.attempts + 1, started_at=func.now())
        .returning(Request)
    )
    with transaction() as session:
        request = session.scalar(taken if level is None else taken.values(level=level))
        if request is None or request.level is None:
            return None
        attempt = Attempt(
            id=uuid.uuid4(),
            request_id=request.id,
            number=request.attempts,
            worker=me.name,
            boot=me.boot,
            level=request.level,
            model=family.level(request.level).model,
        )
        session.add(attempt)
        session.flush()
        session.expunge(request)
        return Claim(request, attempt.id, attempt.number)


def set_aside(requests: Sequence[uuid.UUID]) -> None:
    """No level can meet their deadlines any more: others go first, and whoever asks is told so."""
    hopeless = update(Request).where(Request.id.in_(requests), Request.state == State.QUEUED)
    note = func.concat_ws("; ", Request.note, "can no longer be in time, served when there is room")
    with transaction() as session:
        session.execute(hopeless.where(~Request.hopeless).values(hopeless=True, note=note))


def store(claimed: Claim, outcome: Outcome, image_id: uuid.UUID, stored: Stored, version: str) -> bool:
    """Record image, timings and what was used; False when the request is no longer this attempt's."""
    now = time.time()
    done = (
        update(Request)
        .where(*_mine(claimed))
        .values(
            state=State.DONE,
            level=outcome.level_id,
            note=_joined(claimed.request.note, outcome.reason),
            stored_at=func.now(),
            denoised_at=func.now() - timedelta(seconds=max(0.0, now - outcome.times.denoised)),  # the database's clock
        )
    )
    with transaction() as session:
        if not _touched(session, done):
            return False
        session.execute(update(Attempt).where(Attempt.id == claimed.attempt).values(**_measured(outcome)))
        session.add(
            Image(
                id=image_id,
                request_id=claimed.request.id,
                attempt_id=claimed.attempt,
                key=stored.key,
                width=outcome.image.width,
                height=outcome.image.height,
                bytes=stored.bytes,
                sha256=stored.sha256,
                level=outcome.level_id,
                model=outcome.model_id,
                family_version=version,
            )
        )
    return True


def cancel(claimed: Claim) -> None:
    """The user does not want it any more."""
    with transaction() as session:
        end_attempts(session, [claimed.attempt], "cancelled", None)
        session.execute(update(Request).where(*_mine(claimed)).values(state=State.CANCELLED))


def unpublish(request_id: uuid.UUID, epoch: int, levels: Sequence[str]) -> None:
    """The message of a row that waits at one of these levels is used up: have the sweep send another."""
    mine = (Request.id == request_id, Request.epoch == epoch, Request.level.in_(levels), Request.state == State.QUEUED)
    with transaction() as session:
        if session.scalar(select(Request.id).where(*mine)):
            session.execute(update(Request).where(*mine).values(published_at=None))


def release(attempts: Iterable[uuid.UUID], outcome: str, reason: str, code: str) -> int:
    """End running attempts that made no image, and queue their requests again; returns how many were queued.

    A request whose attempts are used up is failed with `code` and `reason`. What is queued is published at once (and
    by the sweep, should the broker be away). `outcome` is failed, lost or returned.
    """
    with transaction() as session:
        again = release_in(session, list(attempts), outcome, reason, code)
    publish_requests(again)
    return len(again)


def release_in(session: Session, attempts: Sequence[uuid.UUID], outcome: str, reason: str, code: str) -> list[Request]:
    """`release` within a transaction; the caller publishes the requests it returns."""
    ended = end_attempts(session, attempts, outcome, reason)
    if not ended:
        return []
    used = (
        select(func.count())
        .where(Attempt.request_id == Request.id, Attempt.outcome.in_(COUNTED))
        .correlate(Request)
        .scalar_subquery()
    )
    mine = or_(*(((Request.id == request) & (Request.attempts == number)) for request, number in ended))
    open_rows = (mine, Request.state == State.RUNNING)
    spent = update(Request).where(*open_rows, used >= settings().max_attempts)
    has_image = select(Image.id).where(Image.request_id == Request.id).exists()  # of before it was escalated
    for statement in (
        spent.where(has_image).values(state=State.DONE),
        spent.values(state=State.FAILED, error_code=code, error=reason),
    ):
        session.execute(statement.execution_options(synchronize_session=False))
    queued = (
        update(Request)
        .where(*open_rows)
        .values(state=State.QUEUED, worker=None, published_at=None)
        .returning(Request)
        .execution_options(synchronize_session=False)
    )
    return list(session.scalars(queued))


def end_attempts(
    session: Session, attempts: Sequence[uuid.UUID], outcome: str, reason: str | None
) -> list[tuple[uuid.UUID, int]]:
    """Write how attempts ended; returns (request, number) of those that had not ended before."""
    ended = (
        update(Attempt)
        .where(Attempt.id.in_(attempts), Attempt.outcome.is_(None))
        .values(outcome=outcome, reason=reason, ended_at=func.now())
        .returning(Attempt.request_id, Attempt.number)
    )
    return [(request, number) for request, number in session.execute(ended)]


def publish_requests(requests: Sequence[Request]) -> int:
    """Publish `Generate` for queued requests, a connection a queue, and note when; returns how many the broker took."""
    by_queue: defaultdict[str, list[Request]] = defaultdict(list)
    for request in requests:
        by_queue[f"t2i.{request.family}.{request.level}"].append(request)
    taken: list[uuid.UUID] = []
    for queue, waiting in by_queue.items():
        sent = publish(queue, [Generate(str(request.id), request.epoch or 0) for request in waiting])
        taken += [request.id for request in waiting[:sent]]
    if taken:
        with transaction() as session:
            session.execute(update(Request).where(Request.id.in_(taken)).values(published_at=func.now()))
    return len(taken)


def running_of(me: Me, earlier: bool) -> list[Attempt]:
    """Attempts of this worker that have not ended: those of `earlier` boots, or of this one and not just begun."""
    query = select(Attempt).where(Attempt.worker == me.name, Attempt.outcome.is_(None))
    just_now = func.now() - timedelta(seconds=JUST_BEGUN_S)
    mine = (Attempt.boot == me.boot) & (Attempt.started_at < just_now)
    with transaction() as session:
        return list(session.scalars(query.where(Attempt.boot != me.boot if earlier else mine)))


def cancelled_among(requests: Sequence[uuid.UUID]) -> list[uuid.UUID]:
    """Which of these requests the user has cancelled, alone or with their job."""
    if not requests:
        return []
    with transaction() as session:
        unwanted = or_(Request.state == State.CANCELLED, Job.cancelled_at.is_not(None))
        return list(session.scalars(select(Request.id).join(Job).where(Request.id.in_(requests), unwanted)))


def queued_among(requests: Sequence[uuid.UUID]) -> list[uuid.UUID]:
    """Which of these requests wait for a worker."""
    with transaction() as session:
        return list(session.scalars(select(Request.id).where(Request.id.in_(requests), Request.state == State.QUEUED)))


def register(me: Me, **columns: Any) -> None:
    """Write the worker's row, new or over that of an earlier boot."""
    with transaction() as session:
        session.merge(Worker(name=me.name, boot=me.boot, started_at=func.now(), seen_at=func.now(), **columns))


def beat(me: Me, **columns: Any) -> bool:
    """The worker is alive; False when another process has taken its name."""
    with transaction() as session:
        mine = update(Worker).where(Worker.name == me.name, Worker.boot == me.boot)
        return _touched(session, mine.values(seen_at=func.now(), **columns))


def _mine(claimed: Claim) -> tuple[Any, ...]:
    return (
        Request.id == claimed.request.id,
        Request.state == State.RUNNING,
        Request.attempts == claimed.number,
    )


def _touched(session: Session, statement: Any) -> bool:
    return bool(session.execute(statement).rowcount)  # type: ignore[attr-defined]


def _joined(*parts: str | None) -> str | None:
    return "; ".join(part for part in parts if part) or None


def _measured(outcome: Outcome) -> dict[str, Any]:
    """An attempt's columns from what the engine measured."""
    times = outcome.times
    return {
        "outcome": "done",
        "reason": outcome.reason,
        "ended_at": func.now(),
        "level": outcome.level_id,
        "model": outcome.model_id,
        "batch_mean": outcome.batch_mean,
        "batch_max": outcome.batch_max,
        "steps_run": outcome.steps_run,
        "steps_skipped": outcome.steps_skipped,
        "cache_similarity": outcome.cache_similarity,
        "encode_s": times.encoded - times.admitted,
        "wait_s": times.started - times.encoded,
        "denoise_s": times.denoised - times.started,
        "decode_s": times.decoded - times.denoised,
    }
