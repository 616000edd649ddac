"""What the scheduler learns between ticks: a first predictor, audits, a better predictor on drift.

Runs from beat, far less often than the tick; nothing waits for it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.database import transaction
from core.families import Family
from core.own_work import FROM_USERS, SOURCE
from core.publishing import publish_jobs
from core.tables import ACTIVE_STATES, Job, Request
from scheduler.prediction.audit import LOOK_BACK, Audited, audited, order_audits
from scheduler.prediction.features import Features
from scheduler.prediction.offsets import offsets_of
from scheduler.prediction.quality_table import table_of
from scheduler.prediction.store import first, in_force, put_in_force_at, remember_offsets, retrain

log = structlog.get_logger(__name__)
AUDITS = 4  # requests drawn again in one go
SHARE = 0.01  # of the requests that are drawn again where the cluster does not idle
LOADED_WINDOW = timedelta(hours=1)  # and within which time
FEW, LONG = 500, timedelta(days=14)  # audits of a day that are too few to find a drift: those of so long are taken
QUIET = timedelta(seconds=30)  # idle means: nothing open, and nothing accepted for so long


class Learner:
    """Keeps one family's predictor in step with what is measured."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.features = Features.of(family)

    def prepare(self) -> None:
        """Have a predictor in force: cheap where one is shipped, else it is trained."""
        with transaction() as session:
            first(session, self.family, self.features)

    def learn(self) -> str:
        """Order audits; look for drift. Says what was done."""
        self.prepare()
        job = self._audit()
        if job is not None:
            publish_jobs([job])
        with transaction() as session:
            since = put_in_force_at(session, self.family)
            if since is None:
                return "no predictor: the family has no quality table"
            in_force_for = datetime.now(UTC) - since
            audits = audited(session, self.family, min(LOOK_BACK, in_force_for))
            if len(audits) < FEW:
                audits = audited(session, self.family, min(LONG, in_force_for))
            self._correct(session, audits)
            said = retrain(session, self.family, self.features, audits)
        log.info("learned", said=said, audits=job is not None)
        return said

    def _correct(self, session: Session, audits: Sequence[Audited]) -> None:
        """Levels that keep more or less than is predicted of them are predicted that much higher or lower."""
        predictor = in_force(session, self.family)
        if predictor is not None:
            known = offsets_of(audits, predictor, table_of(self.family), self.features)
            remember_offsets(session, self.family, known)

    def _audit(self) -> uuid.UUID | None:
        with transaction() as session:
            busy = session.scalar(select(func.count()).where(Request.state.in_(ACTIVE_STATES)))
            newest = session.scalar(select(func.max(Job.created_at)).where(FROM_USERS))
            if newest is None:
                return None
            if not busy and newest < datetime.now(UTC) - QUIET:
                return order_audits(session, self.family, AUDITS)
            due = min(AUDITS, self._due(session))
            return order_audits(session, self.family, due, LOADED_WINDOW) if due > 0 else None

    def _due(self, session: Session) -> int:
        """Audits by which their share of the requests of the last hour is missed."""
        lately = datetime.now(UTC) - LOADED_WINDOW
        ours = Request.family == self.family.id
        done = session.scalar(select(func.count()).where(ours, Request.stored_at > lately)) or 0
        ordered = select(func.count()).select_from(Request).join(Job, Job.id == Request.job_id)
        ordered = ordered.where(ours, Job.source == SOURCE, Job.created_at > lately)
        return int(SHARE * done) - (session.scalar(ordered) or 0)
