"""Workers that are lost, and what they had.

A worker is lost when it has ended, when another run of it has begun, or when it was silent for ARGUS_STALE_S. Only who
could have heard it may say that it was silent: after a database that was away, for all or for this process, everybody
has that time once more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from math import inf

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from core.attempts import LOST
from core.database import transaction
from core.publishing import publish_requests
from core.requests import release_in
from core.settings import settings
from core.tables import Attempt, Request, Worker

REASON = "The worker ended or fell silent while it had this request."
DEAF = 0.5  # of ARGUS_STALE_S: a longer time between two turns is one in which nobody was heard
UP_SINCE = func.pg_postmaster_start_time()


class LostWorkers:
    """Takes back what lost workers had; remembers since when it hears them.

    Args:
        clock: in seconds; a test sets it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turn_at = inf
        self._hears_since = -inf

    def take_back(self) -> int:
        """End their attempts as lost and queue the requests again; returns how many attempts that were.

        Rows that are locked wait for the next turn: a worker may be frozen in the middle of a transaction.
        """
        with transaction() as session:
            held = select(Attempt.id).join(Request).outerjoin(Worker, Worker.name == Attempt.worker)
            theirs = held.where(Attempt.outcome.is_(None), self._lost(session))
            attempts = list(session.scalars(theirs.with_for_update(of=(Attempt, Request), skip_locked=True)))
            again = release_in(session, attempts, LOST, REASON, "worker_lost") if attempts else []
        publish_requests(again)
        return len(attempts)

    def _lost(self, session: Session) -> ColumnElement[bool]:
        """Whether the `Worker` of an `Attempt` is lost."""
        gone = or_(Worker.name.is_(None), Worker.boot != Attempt.boot, Worker.state == "stopped")
        return or_(gone, Worker.seen_at < self._deadline()) if self._could_hear(session) else gone

    def _could_hear(self, session: Session) -> bool:
        """Whether a worker that lives has been heard since its last chance to be: by the database, and from here."""
        now, stale_s = self._clock(), settings().stale_s
        if now - self._turn_at > DEAF * stale_s:
            self._hears_since = now
        self._turn_at = now
        return now - self._hears_since > stale_s and bool(session.scalar(select(self._deadline() > UP_SINCE)))

    @staticmethod
    def _deadline() -> ColumnElement[datetime]:
        return func.now() - timedelta(seconds=settings().stale_s)
