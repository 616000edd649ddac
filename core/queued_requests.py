"""What changes about a request while it is queued: its level, its message, whether its deadline can be met.

Its state stays; every move of that is in `core.requests`. Each function is one short transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID
from sqlalchemy.types import Float, Text

from core.database import quick_transaction, transaction
from core.open_requests import in_foreground
from core.tables import Request, ServiceClass, State

SET_ASIDE = "set aside, as not all that waited could be in time: served when there is room"
OVER_SHARE = "set aside, as other tenants want the devices too and this one's share is taken"
CHANGE_LEVELS = text(
    """
UPDATE request r SET level = c.level, epoch = :epoch, note = :note,
       predicted_quality = coalesce((r.qualities ->> c.level)::float, r.predicted_quality)
FROM unnest(:ids, :levels) AS c(id, level)
WHERE r.id = c.id AND r.state = 'queued' AND r.level <> c.level RETURNING r.id
"""
)
KEEP_PREDICTIONS = text(
    """
WITH free AS (SELECT id FROM request WHERE id = ANY(:ids) AND qualities IS NULL FOR UPDATE SKIP LOCKED)
UPDATE request r SET predicted_quality = p.quality, qualities = p.qualities
FROM free JOIN unnest(:ids, :predicted, :qualities) AS p(id, quality, qualities) USING (id)
WHERE r.id = free.id
"""
)


def keep_predictions(predictions: Iterable[tuple[uuid.UUID, float | None, dict[str, float]]]) -> None:
    """Keep what is predicted of requests that were queued before it was known: quality at their level, and by level.

    It waits for nobody: a row that somebody holds stays without, and level means stand in.
    """
    ids, predicted, qualities = map(list, zip(*predictions, strict=True))
    statement = KEEP_PREDICTIONS.bindparams(
        bindparam("ids", ids, type_=ARRAY(UUID())),
        bindparam("predicted", predicted, type_=ARRAY(Float())),
        bindparam("qualities", qualities, type_=ARRAY(JSONB())),
    )
    with quick_transaction() as session:
        session.execute(statement)


def change_levels(levels: Mapping[uuid.UUID, str], epoch: int, note: str) -> set[uuid.UUID]:
    """Give queued requests other levels; returns those that changed."""
    statement = CHANGE_LEVELS.bindparams(
        bindparam("ids", list(levels), type_=ARRAY(UUID())),
        bindparam("levels", list(levels.values()), type_=ARRAY(Text())),
        epoch=epoch,
        note=note,
    )
    with transaction() as session:
        return set(session.scalars(statement))


def restore_reference(family: str, reference: str) -> int:
    """Batch work that was queued while nobody served the reference level waits for that again; returns how much."""
    statement = (
        update(Request)
        .where(Request.family == family, Request.state == State.QUEUED, Request.level_asked == "auto")
        .where(Request.service_class == ServiceClass.BATCH, Request.level != reference, ~Request.urgent)
        .values(level=reference, note=f"batch work, back to {reference}")
    )
    with transaction() as session:  # no message moves: background work is found by its row
        return session.execute(statement).rowcount  # type: ignore[attr-defined,no-any-return]


def make_urgent(levels: Mapping[uuid.UUID, str], note: str) -> list[Request]:
    """Batch work that may wait for idle capacity no longer, at these levels; returns it for publishing."""
    rows: list[Request] = []
    with transaction() as session:
        for level in set(levels.values()):
            those = [request for request, to in levels.items() if to == level]
            waiting = (Request.id.in_(those), Request.state == State.QUEUED, ~Request.urgent)
            noted = func.concat_ws("; ", Request.note, note)
            values = {"urgent": True, "level": level, "published_at": None, "note": noted}
            rows += session.scalars(update(Request).where(*waiting).values(values).returning(Request))
    return rows


def mark_unreachable(requests: Sequence[uuid.UUID]) -> None:
    """They are set aside, as not all that wait can be in time: others go first, and whoever asks is told so."""
    waiting = (Request.id.in_(requests), Request.state == State.QUEUED, ~Request.deadline_unreachable)
    values = {
        "deadline_unreachable": True,
        "note": func.concat_ws("; ", Request.note, SET_ASIDE),
    }
    with transaction() as session:
        session.execute(update(Request).where(*waiting).values(values))


def set_aside_over(family: str, tenant: str, most: int) -> int:
    """Of what a tenant has waiting in front all but the `most` of the earliest deadlines are set aside; returns how
    many that were."""
    over = (
        select(Request.id)
        .where(Request.state == State.QUEUED, Request.family == family, Request.tenant == tenant, in_foreground())
        .order_by(Request.deadline_at, Request.id)
        .offset(most)
    )
    values = {
        "deadline_unreachable": True,
        "over_share": True,
        "note": func.concat_ws("; ", Request.note, OVER_SHARE),
    }
    changed = update(Request).where(Request.id.in_(over.scalar_subquery()), Request.state == State.QUEUED)
    with transaction() as session:
        done = session.execute(changed.values(values).execution_options(synchronize_session=False))
    return done.rowcount  # type: ignore[attr-defined,no-any-return]


def unpublish(request_id: uuid.UUID, epoch: int, levels: Sequence[str]) -> None:
    """The message of a row that waits at one of these levels is used up: have reconciliation send another."""
    mine = (Request.id == request_id, Request.epoch == epoch, Request.level.in_(levels), Request.state == State.QUEUED)
    with transaction() as session:
        if session.scalar(select(Request.id).where(*mine)):
            session.execute(update(Request).where(*mine).values(published_at=None))
