"""Escalation: an image that scored under its request's floor is drawn again at a better level, while there is time.

DiffServe's cascade: the policy says whether workers are to spare, and whether another image can still be in time. The
first image stays; what the request shows is the newest.
"""

from __future__ import annotations

import uuid
from dataclasses import replace

import structlog
from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from core.database import transaction
from core.families import Family
from core.requests import redraw
from core.tables import Image, Request, Score, State
from scheduler.control import reasons
from scheduler.observation.snapshot import SnapshotReader, as_request, quality_of

log = structlog.get_logger(__name__)
ALIKE = ("loras", "emphasis", "source_id", "mask_id", "strength")  # what makes another image of a prompt
REFERENCES = 1000  # recent images of the reference level that say what relative quality is relative to


def escalate(reader: SnapshotReader, request_id: uuid.UUID) -> str | None:
    """The level that a request is drawn again at; None where its image is good enough, or nothing can be done."""
    with transaction() as session:
        row = session.get(Request, request_id)
        score = _newest_score(session, request_id)
        reference = _reference_score(session, reader.family, row) if row else None
        images = session.scalar(select(func.count()).where(Image.request_id == request_id)) or 0
        snapshot = reader.snapshot(session)
    policy, epoch = snapshot.policy, snapshot.epoch
    if row is None or row.state != State.DONE or row.level_asked != "auto" or score is None or not reference:
        return None
    if policy is None or epoch is None or row.level is None or row.level not in policy.index:
        return None
    asked = replace(as_request(row, quality_of(row, policy)), attempt=images - 1)
    measured = score / reference
    level = policy.finished(asked, row.level, measured, epoch, reader.load_now(snapshot))
    if level is None or not snapshot.is_served(level):
        return None
    if not redraw(row.id, level, reasons.redrawn(level, measured, row.min_quality)):
        return None
    log.info("escalated", request=str(row.id), level=level)
    return level


def _newest_score(session: Session, request_id: uuid.UUID) -> float | None:
    query = select(Score.value).join(Image).where(Image.request_id == request_id)
    return session.scalar(query.order_by(Image.created_at.desc()).limit(1))


def _reference_score(session: Session, family: Family, row: Request) -> float | None:
    """What the reference level scored on this prompt, weighted so, with these LoRAs and this image to begin with, if it
    was drawn there lately (by audits, say); else its mean."""
    recent = (
        select(Score.value, Request.prompt, *(getattr(Request, name) for name in ALIKE))
        .join(Image, Image.id == Score.image_id)
        .join(Request, Request.id == Image.request_id)
        .where(Image.level == family.reference, Request.family == family.id, Request.own_kind.is_(None))
        .order_by(Image.created_at.desc())
        .limit(REFERENCES)
        .subquery()
    )
    score = recent.c.value
    known: float | None
    mean: float | None
    alike = [recent.c[name].is_not_distinct_from(getattr(row, name)) for name in ALIKE]
    same = (recent.c.prompt == row.prompt) & and_(*alike)
    known, mean = session.execute(select(func.avg(score).filter(same), func.avg(score))).one()
    return mean if known is None else known
