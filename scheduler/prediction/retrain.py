"""What the scheduler learns between ticks: a first predictor, audits when idle, a better predictor on drift.

Runs from beat, far less often than the tick; nothing waits for it.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import func, select

from core.database import transaction
from core.families import Family
from core.publishing import publish_jobs
from core.tables import OPEN_STATES, Job, Request
from scheduler.prediction.audit import SOURCE, audited, order_audits
from scheduler.prediction.features import Features
from scheduler.prediction.store import first, in_force, retrain

log = structlog.get_logger(__name__)
AUDITS = 4  # requests drawn again in one go
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
        """Audit when idle; look for drift. Says what was done."""
        self.prepare()
        job = self._audit()
        if job is not None:
            publish_jobs([job])
        with transaction() as session:
            if in_force(session, self.family) is None:
                return "no predictor: the family has no quality table"
            said = retrain(session, self.family, self.features, audited(session, self.family))
        log.info("learned", said=said, audits=job is not None)
        return said

    def _audit(self) -> uuid.UUID | None:
        with transaction() as session:
            busy = session.scalar(select(func.count()).where(Request.state.in_(OPEN_STATES)))
            newest = session.scalar(select(func.max(Job.created_at)).where(Job.source != SOURCE))
            if busy or newest is None or newest > datetime.now(UTC) - QUIET:
                return None
            return order_audits(session, self.family, AUDITS)
