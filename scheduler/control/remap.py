"""Which worker changes what it holds, so that the cluster becomes what was planned. `changes` is pure.

A worker that already holds what is wanted stays. Whether a change pays at all is the planner's business (`switch_cost`,
`pinned`): here the plan is carried out with the fewest moves. A level that somebody is waiting for and that no planned
model serves is added to a worker beside its own, so that nothing waits in a queue nobody serves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from core import tables
from core.database import transaction
from core.families import Family
from core.queues import served_by, tell
from scheduler.observation.queries import LiveWorker

log = structlog.get_logger(__name__)
DWELL = timedelta(seconds=30)  # a worker that has just changed stays so long
LOADING = timedelta(minutes=5)  # the longest that taking up a post is waited for
REMIND = timedelta(seconds=30)


@dataclass(frozen=True)
class Seat:
    """A worker with what it counts as holding now: a model, or a level where a policy has one level a worker."""

    worker: str
    device_type: str
    holds: str | None


@dataclass(frozen=True)
class Change:
    """What a worker is to hold from now on, first what it is planned with, and why."""

    worker: str
    models: tuple[str, ...]
    queues: tuple[str, ...]
    reason: str


def seatings(seats: Sequence[Seat], wanted: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
    """What each worker is to hold. Those that hold what is wanted stay; the fewest move."""
    found: dict[str, str] = {}
    for device_type, models in wanted.items():
        free = [seat for seat in seats if seat.device_type == device_type]
        missing = Counter({model: n for model, n in models.items() if n > 0})
        for seat in list(free):
            if seat.holds is not None and missing[seat.holds] > 0:
                missing[seat.holds] -= 1
                found[seat.worker] = seat.holds
                free.remove(seat)
        found.update({seat.worker: model for seat, model in zip(free, missing.elements(), strict=False)})
    return found


def changes(
    family: Family,
    workers: Sequence[LiveWorker],
    holding: Callable[[LiveWorker], str | None],
    wanted: Mapping[str, Mapping[str, int]],
    needed: Collection[str] = (),
    steady: Collection[str] = (),
) -> list[Change]:
    """The workers whose post changes.

    Args:
        holding: what a worker counts as holding now.
        wanted: workers by device type and by model (or level), as planned; empty: everyone stays.
        needed: levels somebody waits for, planned or not.
        steady: workers that changed a moment ago; they give nothing up, but may be given more.
    """
    seats = [Seat(worker.name, worker.device_type, holding(worker)) for worker in workers]
    planned = seatings(seats, wanted)
    posts = {worker.name: _post(family, worker, planned.get(worker.name)) for worker in workers}
    for worker in workers:
        if worker.name in steady:
            posts[worker.name] = _and_before(posts[worker.name], worker)
    _cover(family, posts, needed)
    return [posts[worker.name] for worker in workers if not _same(posts[worker.name], worker)]


def _post(family: Family, worker: LiveWorker, held: str | None) -> Change:
    """The post of a worker that holds this model, or this one level."""
    if held is None:
        return Change(worker.name, worker.models[:1], tuple(family.queues_of(list(worker.models[:1]))), "not planned")
    if held in family.models:
        return Change(worker.name, (held,), tuple(family.queues_of([held])), f"planned: {held}")
    return Change(worker.name, (family.level(held).model,), (family.queue(held),), f"planned: {held}")


def _cover(family: Family, posts: dict[str, Change], needed: Collection[str]) -> None:
    """Give levels that would be nobody's to the workers with the fewest models."""
    for level in needed:
        queue, model = family.queue(level), family.level(level).model
        if not posts or any(queue in post.queues for post in posts.values()):
            continue
        name = min(posts, key=lambda name: (model not in posts[name].models, len(posts[name].models), name))
        post = posts[name]
        models = tuple(dict.fromkeys([*post.models, model]))
        reason = f"{post.reason}; {level}, which somebody waits for"
        posts[name] = replace(post, models=models, queues=(*post.queues, queue), reason=reason)


def _and_before(post: Change, worker: LiveWorker) -> Change:
    """The post together with what the worker already serves."""
    models = tuple(dict.fromkeys([*post.models, *worker.models]))
    return replace(post, models=models, queues=tuple(dict.fromkeys([*post.queues, *worker.queues])))


def _same(post: Change, worker: LiveWorker) -> bool:
    return set(post.queues) == set(worker.queues) and set(post.models) == set(worker.models)


def assignments(session: Session, workers: Sequence[LiveWorker]) -> dict[str, tables.Assignment]:
    """The newest assignment of each of these workers that has one."""
    names = [worker.name for worker in workers]
    newest = select(func.max(tables.Assignment.id)).where(tables.Assignment.worker.in_(names))
    query = select(tables.Assignment).where(tables.Assignment.id.in_(newest.group_by(tables.Assignment.worker)))
    return {row.worker: row for row in session.scalars(query)}


def intended(workers: Sequence[LiveWorker], assigned: Mapping[str, tables.Assignment]) -> list[LiveWorker]:
    """The workers as they will be when they have taken up what they were told."""
    told = {name: (tuple(row.models), tuple(row.queues)) for name, row in assigned.items()}
    return [
        replace(worker, models=told[worker.name][0], queues=told[worker.name][1]) if worker.name in told else worker
        for worker in workers
    ]


def steady(assigned: Mapping[str, tables.Assignment], now: datetime) -> set[str]:
    """Workers within their dwell time, or still loading what they were told."""
    return {name for name, row in assigned.items() if now - row.created_at < (DWELL if row.verified_at else LOADING)}


def order(epoch: int, wanted: Sequence[Change]) -> None:
    """Record the changes, then tell the workers; one that misses it reads its row."""
    with transaction() as session:
        for change in wanted:
            models, queues = list(change.models), list(change.queues)
            row = tables.Assignment(
                epoch=epoch, worker=change.worker, models=models, queues=queues, reason=change.reason
            )
            session.add(row)
    for change in wanted:
        log.info("remap", worker=change.worker, models=change.models, reason=change.reason)
        tell(change.worker, change.models, change.queues)


def verify(workers: Sequence[LiveWorker]) -> list[str]:
    """Ask workers whose assignment is not verified what they consume; returns those that do not serve it yet.

    One that has not for half a minute is told again.
    """
    with transaction() as session:
        now = session.scalar(select(func.now())) or datetime.now(UTC)
        unproven = [row for row in assignments(session, workers).values() if row.verified_at is None]
    served = served_by([row.worker for row in unproven])
    done = [row.id for row in unproven if set(row.queues) == served.get(row.worker)]
    with transaction() as session:
        proven = update(tables.Assignment).where(tables.Assignment.id.in_(done))
        session.execute(proven.values(verified_at=func.now()))
    waiting = [row for row in unproven if row.id not in done]
    for row in waiting:
        if now - row.created_at > REMIND:
            tell(row.worker, row.models, row.queues)
    return [row.worker for row in waiting]
