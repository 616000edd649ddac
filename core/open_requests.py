"""Requests that are not finished, read for workers: who waits, who was cancelled. Nothing here changes a row."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Integer, Row, Select, Text, bindparam, func, or_, select, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from core.database import single_statement, transaction
from core.families import Family
from core.tables import Job, Request, ServiceClass, State
from core.unserved import may_start

SHOWN = (  # of a request that waits: just what decides, because every claim reads some dozens of them
    *(Request.id, Request.prompt, Request.accepted_at, Request.deadline_at, Request.min_quality, Request.service_class),
    *(Request.attempts, Request.level, Request.level_asked, Request.urgent, Request.qualities),
    *(Request.steps, Request.width, Request.height, Request.priority, Request.loras),
    *(Request.source_id, Request.strength, Request.own_kind),
)


def in_foreground() -> ColumnElement[bool]:
    """Requests with a latency target that can still be met: interactive ones, and batch work that is out of slack."""
    return or_(Request.service_class == ServiceClass.INTERACTIVE, Request.urgent) & ~Request.deadline_unreachable


def waiting(
    family: Family, levels: Sequence[str], background: bool, most: int, tenant: str | None = None
) -> list[Row[Any]]:
    """Queued requests of these levels (their columns `SHOWN`), earliest deadline first.

    Those with a latency target that can still be met; or the `background`: those whose deadline no level can meet any
    more, then batch work, each by priority.
    Of all, or of one `tenant`.
    """
    values: dict[str, Any] = {"levels": list(levels), "family": family.id, "most": most}
    values |= {} if tenant is None else {"tenant": tenant}
    with single_statement() as session:
        return list(session.execute(_first_of_each_level(background, tenant is not None), values))


@lru_cache(maxsize=4)
def _first_of_each_level(background: bool, of_a_tenant: bool) -> Select[Any]:
    """Those of `waiting`. It reads the first few of each level by its index, however many wait; built once, because
    building it takes longer than the database does."""
    one_level = func.unnest(bindparam("levels", type_=ARRAY(Text()))).table_valued("id").render_derived()
    most = bindparam("most", type_=Integer())
    first = (
        select(*SHOWN)
        .where(Request.state == State.QUEUED, Request.family == bindparam("family"), Request.level == one_level.c.id)
        .where(~in_foreground() if background else in_foreground(), may_start())
        .where(*([Request.tenant == bindparam("tenant")] if of_a_tenant else []))
        .order_by(*_order(Request, background))
        .limit(most)
        .lateral()
    )
    row = first.c
    return select(*row).select_from(one_level.join(first, true())).order_by(*_order(row, background)).limit(most)


def _order(row: Any, background: bool) -> tuple[Any, ...]:
    """Columns of a row in the order of its index."""
    classes = (row.service_class.desc(), row.priority.desc()) if background else ()
    return (*classes, row.deadline_at, row.id)


def queued_by_tenant(session: Session, family: Family) -> list[tuple[str, ServiceClass, bool, int]]:
    """How many requests wait, by tenant, class, and whether they have a latency target that can still be met."""
    kinds = (Request.tenant, Request.service_class, in_foreground())
    query = select(*kinds, func.count()).where(Request.family == family.id, Request.state == State.QUEUED)
    return [(tenant, of_class, front, n) for tenant, of_class, front, n in session.execute(query.group_by(*kinds))]


def running_by_tenant(family: Family) -> dict[str, int]:
    """How many requests of each tenant run."""
    running = select(Request.tenant, func.count()).where(Request.family == family.id, Request.state == State.RUNNING)
    with single_statement() as session:
        return dict(session.execute(running.group_by(Request.tenant)).tuples().all())


def owed(family: Family, levels: Sequence[str], waited_s: float, most: int) -> list[Request]:
    """Queued requests of these levels whose deadline could not be met, and that have waited so long, oldest first."""
    query = (
        select(Request)
        .where(Request.state == State.QUEUED, Request.family == family.id, Request.level.in_(levels))
        .where(Request.deadline_unreachable, Request.accepted_at < func.now() - timedelta(seconds=waited_s))
        .where(may_start())
        .order_by(Request.accepted_at, Request.id)
        .limit(most)
    )
    with transaction() as session:
        return list(session.scalars(query))


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
