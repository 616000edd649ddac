"""When jobs will be done, from what was measured in the last minutes.

::

    of its own     what is left of the job ÷ the rate at which it was drawn lately
    of its class   what is left of it and of the jobs before it ÷ what workers can draw of its class

The first holds once some of the job have been drawn: all that slows it down is in it. Until then the second does: the
workers that are there, less what interactive requests take of them where it is batch work, over what an image of its
class, at the levels that are drawn now, takes of a worker.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.families import load_family
from core.own_work import FROM_USERS_SQL
from core.settings import settings
from core.tables import ServiceClass
from scheduler.observation.queries import live_workers

WINDOW_S = 300.0
FRESH_S = 2.0
ENOUGH, LONG_ENOUGH_S = 5, 10.0  # images of a job, over so long, show its own rate
LEAST = 0.05  # of a worker, that batch work gets however much else there is
OPEN = text(f"""
SELECT r.job_id, r.service_class, max(r.priority) AS priority, min(r.deadline_at) AS deadline_at,
       count(*) FILTER (WHERE r.state <> 'running') AS waiting, count(*) FILTER (WHERE r.state = 'running') AS running
FROM request r JOIN job j ON j.id = r.job_id
WHERE r.state IN ('accepted', 'queued', 'running') AND {FROM_USERS_SQL} GROUP BY 1, 2
""")
DRAWN = text(f"""
SELECT r.job_id, r.service_class, count(*) AS images, extract(epoch FROM now() - min(a.ended_at)) AS since_s,
       sum(coalesce(a.encode_s, 0) + coalesce(a.decode_s, 0)
           + coalesce(a.share_s, a.denoise_s / greatest(1, a.batch_mean))) AS device_s
FROM attempt a JOIN request r ON r.id = a.request_id JOIN job j ON j.id = r.job_id
WHERE a.outcome = 'done' AND a.ended_at > now() - make_interval(secs => :window) AND a.denoise_s IS NOT NULL
      AND {FROM_USERS_SQL}
GROUP BY 1, 2
""")


@dataclass(frozen=True)
class Eta:
    """Seconds until nothing of a job is open, how many requests go first, and the rate that this is taken from."""

    seconds: float
    ahead: int
    images_per_minute: float


class Etas:
    """Of all jobs that are open, read at most every two seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read_at = -FRESH_S
        self._known: dict[uuid.UUID, Eta] = {}

    def of(self, session: Session, job_id: uuid.UUID) -> Eta | None:
        """Of one job; none where nothing of it is open, or nothing was drawn lately."""
        with self._lock:
            if time.monotonic() >= self._read_at + FRESH_S:
                self._known, self._read_at = read_etas(session), time.monotonic()
            return self._known.get(job_id)


ETAS = Etas()


def read_etas(session: Session) -> dict[uuid.UUID, Eta]:
    """Of each open job, as of now."""
    workers = len(live_workers(session, load_family(settings().family)))
    drawn = {row.job_id: row for row in session.execute(DRAWN, {"window": WINDOW_S})}
    rates = {name: _rate(name, workers, drawn) for name in ServiceClass}
    found, ahead = {}, dict.fromkeys(ServiceClass, 0)
    for job in sorted(session.execute(OPEN), key=lambda row: (-row.priority, row.deadline_at)):
        left, name = job.waiting + job.running / 2, ServiceClass(job.service_class)
        own = _own_rate(drawn.get(job.job_id))
        rate = own or rates[name]
        if rate:
            before = 0 if own else ahead[name]
            found[job.job_id] = Eta((before + left) / rate, ahead[name], 60 * rate)
        ahead[name] += job.waiting
    return found


def _own_rate(drawn: Any) -> float | None:
    """Images a second of a job that is being drawn."""
    if drawn is None or drawn.images < ENOUGH or drawn.since_s < LONG_ENOUGH_S:
        return None
    return float((drawn.images - 1) / drawn.since_s)


def _rate(name: ServiceClass, workers: int, drawn: Mapping[uuid.UUID, Any]) -> float | None:
    """Images a second that the workers can draw of a class; None where nothing shows what one takes."""
    of_class = [row for row in drawn.values() if row.service_class == name] or list(drawn.values())
    images, device_s = sum(row.images for row in of_class), float(sum(row.device_s for row in of_class))
    if not (workers and images and device_s):
        return None
    free = float(workers)
    if name is ServiceClass.BATCH:
        others = [row for row in drawn.values() if row.service_class == ServiceClass.INTERACTIVE]
        span_s = max([LONG_ENOUGH_S, *(float(row.since_s) for row in drawn.values())])
        free = max(LEAST * workers, workers - float(sum(row.device_s for row in others)) / span_s)
    return free * float(images) / device_s
