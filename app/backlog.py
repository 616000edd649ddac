"""How much may wait, in all and of one client; and when there is room again.

What waits is counted once a second, less often where counting takes long, and what was accepted here since is added.
Who finds somebody counting goes by the count before. More than one web process may together accept too much between two
counts.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.errors import TooLarge, TooMuchWaiting
from core.own_work import FROM_USERS_SQL
from core.settings import settings

FRESH_S = 1.0
SHARE = 0.05  # of the time is spent on counting, at most
WINDOW_S = 300  # over which the rate of finishing is measured
LONGEST_S = 3600  # nobody is told to come back later than that
WAITING = text(
    "SELECT coalesce(j.client, '') AS client, count(*) AS waiting FROM request r JOIN job j ON j.id = r.job_id "
    f"WHERE r.state IN ('accepted', 'queued', 'paused') AND {FROM_USERS_SQL} GROUP BY 1"
)
FINISHED = text(
    "SELECT count(*) / greatest(30, extract(epoch FROM now() - min(r.stored_at))) "
    "FROM request r JOIN job j ON j.id = r.job_id "
    f"WHERE r.stored_at > now() - make_interval(secs => :seconds) AND {FROM_USERS_SQL}"
)


class Backlog:
    """Counts of waiting requests by client, and how many a second are finished."""

    def __init__(self) -> None:
        self._lock, self._counting = threading.Lock(), threading.Lock()
        self._count_at = -math.inf
        self._waiting: Counter[str] = Counter()
        self._since: Counter[str] = Counter()  # accepted here since the last count began
        self._per_second: float | None = None  # not asked for since

    def admit(self, session: Session, client: str, requests: int) -> None:
        """Count these requests as waiting.

        Raises:
            TooLarge: more than may ever wait.
            TooMuchWaiting: more than may wait beside the others now; it says when there will be room.
        """
        bounds = {"": settings().max_waiting, client: min(settings().max_waiting_client, settings().max_waiting)}
        if requests > (most := min(bounds.values())):
            raise TooLarge(f"{requests:,} images at once; at most {most:,} may wait.", field="prompts")
        self._count(session)
        with self._lock:
            for whose, most in bounds.items():
                known = (self._waiting, self._since)
                waiting = sum(each[whose] if whose else each.total() for each in known)
                if (over := waiting + requests - most) > 0:
                    who = "of this client " if whose else ""
                    raise TooMuchWaiting(
                        f"{waiting:,} requests {who}wait already; at most {most:,} may.",
                        retry_after_s=self._until(session, over),
                    )
            self._since[client] += requests

    def _count(self, session: Session) -> None:
        """Count what waits if it is time to; who finds somebody counting goes by the count before, if there is one."""
        first = self._count_at == -math.inf
        if time.monotonic() < self._count_at or not self._counting.acquire(blocking=first):
            return
        try:
            if time.monotonic() >= self._count_at:
                self._count_now(session)
        finally:
            self._counting.release()

    def _count_now(self, session: Session) -> None:
        began = time.monotonic()
        with self._lock:
            before = self._since.copy()
        waiting = Counter({row.client: row.waiting for row in session.execute(WAITING)})
        with self._lock:
            self._waiting, self._since, self._per_second = waiting, self._since - before, None
        now = time.monotonic()
        self._count_at = max(began + FRESH_S, now + (now - began) / SHARE)

    def _until(self, session: Session, over: int) -> int:
        """Seconds until so many have been finished, at the rate of the last minutes."""
        if self._per_second is None:
            self._per_second = float(session.execute(FINISHED, {"seconds": WINDOW_S}).scalar_one() or 0.0)
        return max(1, math.ceil(min(LONGEST_S, over / self._per_second))) if self._per_second else LONGEST_S


BACKLOG = Backlog()
