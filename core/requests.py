"""The life of a request: every move of its state, each a named function here and nowhere else.

::

              accept
                │ A
                ▼      route          claim          finish
             accepted ───B───▶ queued ───D───▶ running ───F───▶ done
                ▲               │ ▲ ▲             │ │             │
                └────return─────┘ │ └───release───┘ │             │
                       C          │        E        │             │
                                  └──────redraw─────┼──────G──────┘
                                                    │
     accepted, queued, running, paused ──cancel H──▶ cancelled
                      accepted, queued ──PAUSE K──▶ paused ──RESUME L──▶ accepted (queued, where it has an image)
                      accepted, queued ──expire J──▶ failed
                     failed, cancelled ──RETRY M──▶ accepted
                                  queued ──keep_image I──▶ done
                                 running ──release E, attempts used up──▶ failed

    A  `new_requests`,         the app commits a job's rows
       `copy_requests`
    B  `route`                 the router has chosen a level
    C  `return_to_router`      no live worker serves the level it waits at
    D  `claim`                 a worker takes it: a new attempt begins (`core.claim_statement`)
    E  `release`               an attempt ended without an image: queued again, or failed when its attempts are used up
                               (done, when it was redrawn and has an earlier image); faults of stores, brokers,
                               databases and workers use up none, unless a worker ended with this request alone
                               (`core.attempts`)
    F  `finish`                image and timings are stored
    G  `redraw`                its image scored under its floor: again, at a better level
    H  `cancel_job`, `cancel`, the user does not want it any more, or hung up before it began
       `cancel_abandoned`     (the last of these: `core.unserved`)
    I  `keep_image`            it was redrawn and cannot be in time any more: done, with the image it has
    J  `expire_unstarted`      it was to begin by now, and has not (`core.unserved`)
    K  `PAUSE`                 the user wants nothing of it to begin for now
    L  `RESUME`                and now does again; its deadline is as much later
    M  `RETRY`                 the user wants it again: the same id and seed, its attempts counted anew

Those that users ask for of many requests (H, K, L, M) are in `core.user_moves`. What changes about a request while it
is queued, its level above all, is in `core.queued_requests`.

A row in `running` belongs to its newest attempt. Every later move names that attempt, so a worker that was given up
for lost and comes back finds its moves without effect. Functions with a `session` are part of the caller's transaction;
the others are one short transaction each. Publishing comes after the commit (`core.publishing`).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, bindparam, func, insert, or_, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID
from sqlalchemy.orm import Session
from sqlalchemy.types import Boolean, Float, Text

from core.attempts import CANCELLED, LOST, end_attempts, used_up
from core.claim_statement import CLAIM
from core.database import quick_transaction, single_statement, transaction
from core.publishing import publish_requests
from core.row_spool import RowSpool
from core.tables import Attempt, Image, Job, Request, State
from core.workers import WorkerIdentity

TO_BLAME = " It had the device to itself then, as often as it may: it is taken to be the cause."

ROUTE = text(
    """
UPDATE request r SET state = 'queued', routed_at = now(), published_at = NULL, epoch = :epoch,
       deadline_unreachable = c.over OR r.deadline_unreachable AND r.deadline_at < now(),
       over_share = c.over OR r.over_share, level = c.level, note = c.note,
       predicted_quality = c.quality, qualities = c.qualities
FROM unnest(:ids, :levels, :notes, :predicted, :qualities, :over) AS c(id, level, note, quality, qualities, over)
WHERE r.id = c.id AND r.state = 'accepted' RETURNING r.id, r.deadline_unreachable
"""
)


@dataclass(frozen=True)
class Choice:
    """A level for a request, what quality is expected of it there and at the others, and why, in words.

    One that is `over_share` is set aside: its tenant has more in front of it than its share can have in time.
    """

    request: Request
    level: str
    note: str
    quality: float | None = None
    qualities: dict[str, float] | None = None
    over_share: bool = False


@dataclass(frozen=True)
class Claim:
    """A request that is this worker's to do. `request` is detached: plain values, no session."""

    request: Request
    attempt: uuid.UUID
    number: int


# A


def new_requests(
    session: Session,
    job: Job,
    rows: Sequence[dict[str, Any]],
    deadline_at: datetime,
    start_by: datetime | None = None,
) -> None:
    """Write a job's requests in `accepted`; `rows` hold what differs between them."""
    shared = _shared(job, deadline_at, start_by)
    session.execute(insert(Request), [{**row, **shared} for row in rows])


def copy_requests(
    session: Session, job: Job, rows: RowSpool, deadline_at: datetime, start_by: datetime | None = None
) -> None:
    """The same, however many they are."""
    rows.copy_into(session, cast(Table, Request.__table__), _shared(job, deadline_at, start_by))


def _shared(job: Job, deadline_at: datetime, start_by: datetime | None) -> dict[str, Any]:
    shared: dict[str, Any] = {name: getattr(job, name) for name in ("family", "tenant", "service_class")}
    shared |= {"job_id": job.id, "state": State.ACCEPTED, "accepted_at": job.created_at}
    return shared | {"deadline_at": deadline_at, "start_by": start_by}


# B, C


def route(choices: Sequence[Choice], epoch: int) -> list[Request]:
    """Queue accepted requests at their levels, all or none; returns those that were still accepted, as they are now."""
    columns: dict[str, tuple[list[Any], Any]] = {
        "ids": ([c.request.id for c in choices], ARRAY(UUID())),
        "levels": ([c.level for c in choices], ARRAY(Text())),
        "notes": ([c.note for c in choices], ARRAY(Text())),
        "predicted": ([c.quality for c in choices], ARRAY(Float())),
        "qualities": ([c.qualities for c in choices], ARRAY(JSONB(none_as_null=True))),
        "over": ([c.over_share for c in choices], ARRAY(Boolean())),
    }
    bound = (bindparam(name, values, type_=kind) for name, (values, kind) in columns.items())
    with quick_transaction() as session:  # a crash of the database takes them back to the router
        moved = {row.id: row.deadline_unreachable for row in session.execute(ROUTE.bindparams(*bound, epoch=epoch))}
    routed = [choice for choice in choices if choice.request.id in moved]
    for choice in routed:
        choice.request.level, choice.request.epoch = choice.level, epoch
        choice.request.deadline_unreachable = moved[choice.request.id]
    return [choice.request for choice in routed]


def return_to_router(session: Session, family: str, levels: Sequence[str]) -> set[uuid.UUID]:
    """Requests that wait at these levels without having asked for them are accepted again; returns their jobs."""
    back = (
        update(Request)
        .where(Request.state == State.QUEUED, Request.family == family)
        .where(Request.level.in_(levels), Request.level_asked == "auto")
        .values(state=State.ACCEPTED, routed_at=None)
        .returning(Request.job_id)
    )
    return set(session.scalars(back))


# D


def claim(
    request_id: uuid.UUID,
    worker: WorkerIdentity,
    models: Mapping[str, str],
    levels: Sequence[str],
    level: str | None = None,
    note: str | None = None,
) -> Claim | None:
    """Take a queued request of one of these levels, to be run at its own or at another `level`; None when it is gone,
    or somebody is just taking it.

    Args:
        models: the model of each level of the family.
        note: why it runs at another level, for its sender.
    """
    values: dict[str, Any] = {
        "id": request_id,
        "worker": worker.name,
        "boot": worker.boot,
        "levels": list(levels),
        "level": level,
    }
    values |= {"note": note, "attempt": uuid.uuid4(), "models": dict(models)}
    with single_statement() as session:
        request = session.scalar(CLAIM, values)
        if request is None:
            return None
        session.expunge(request)
        return Claim(request, values["attempt"], request.attempts)


# E


def release(attempts: Iterable[uuid.UUID], outcome: str, reason: str, code: str) -> int:
    """End running attempts that made no image, and queue their requests again; returns how many were queued.

    A request whose attempts are used up is failed with `code` and `reason`. What is queued is published at once (and
    by reconciliation, should the broker be away). `outcome` is one of `core.attempts`.
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
    mine = or_(*(((Request.id == request) & (Request.attempts == number)) for request, number in ended))
    open_rows = (mine, Request.state == State.RUNNING)
    spent = update(Request).where(*open_rows, used_up())
    has_image = select(Image.id).where(Image.request_id == Request.id).exists()  # of before it was redrawn
    for statement in (
        spent.where(has_image).values(state=State.DONE),
        spent.values(state=State.FAILED, error_code=code, error=reason + TO_BLAME * (outcome == LOST)),
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


# F


def finish(
    claimed: Claim,
    image: Image,
    attempt: Mapping[str, Any],
    denoised_s_ago: float,
    found: Mapping[str, Any] | None = None,
) -> bool:
    """Record the stored image and what the attempt measured; False when the request is no longer this attempt's.

    It may be called again after a commit whose answer was lost: an image that is recorded already is a success.

    Args:
        image: the row to add; its level is what was really used.
        attempt: columns of the attempt, `reason` among them.
        denoised_s_ago: seconds since the last step, counted on the worker's clock; the row has the database's.
        found: columns of the request that are known since it was drawn.
    """
    done = (
        update(Request)
        .where(*_of(claimed))
        .values(
            state=State.DONE,
            level=image.level,
            note="; ".join(filter(None, (claimed.request.note, attempt.get("reason")))) or None,
            stored_at=func.now(),
            denoised_at=func.now() - timedelta(seconds=max(0.0, denoised_s_ago)),
            **(found or {}),
        )
    )
    with transaction() as session:
        if not _touched(session, done):
            return session.get(Image, image.id) is not None
        ended = {"outcome": "done", "ended_at": func.now(), **attempt}
        session.execute(update(Attempt).where(Attempt.id == claimed.attempt).values(**ended))
        session.add(image)
    return True


# G


def redraw(request_id: uuid.UUID, level: str, why: str) -> list[Request]:
    """Queue a finished request again, at a better level; returns it, or nothing when it is not finished any more."""
    back = (
        update(Request)
        .where(Request.id == request_id, Request.state == State.DONE)
        .values(
            state=State.QUEUED,
            level=level,
            published_at=None,
            scored_at=None,
            score=None,
            note=func.concat_ws("; ", Request.note, why),
        )
        .returning(Request)
    )
    with transaction() as session:
        again = list(session.scalars(back))
    publish_requests(again)
    return again


# I


def keep_image(requests: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Of these queued requests, those that have an image of before they were redrawn are done with it; returns them."""
    newest = select(Image.level).where(Image.request_id == Request.id).order_by(Image.created_at.desc()).limit(1)
    has_image = select(Image.id).where(Image.request_id == Request.id).exists()
    settled = (
        update(Request)
        .where(Request.id.in_(requests), Request.state == State.QUEUED, has_image)
        .values(
            state=State.DONE,
            level=newest.scalar_subquery(),
            scored_at=func.now(),
            note=func.concat_ws("; ", Request.note, "there was no time for that: the image stays"),
        )
        .returning(Request.id)
        .execution_options(synchronize_session=False)
    )
    with transaction() as session:
        return set(session.scalars(settled))


# H


def cancel(claimed: Claim) -> None:
    """End a running attempt that the user does not want any more."""
    with transaction() as session:
        end_attempts(session, [claimed.attempt], CANCELLED, None)
        session.execute(update(Request).where(*_of(claimed)).values(state=State.CANCELLED))


def _of(claimed: Claim) -> tuple[Any, ...]:
    return (Request.id == claimed.request.id, Request.state == State.RUNNING, Request.attempts == claimed.number)


def _touched(session: Session, statement: Any) -> bool:
    return bool(session.execute(statement).rowcount)  # type: ignore[attr-defined]
