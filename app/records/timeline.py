"""Demand, what was served, and how well, in equal slots of a window that ends now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.access import caller
from core.own_work import FROM_USERS_SQL

SLOTS = 60
MINE = f"{FROM_USERS_SQL} AND (CAST(:tenant AS text) IS NULL OR r.tenant = :tenant)"
ARRIVED = f"""
SELECT floor(extract(epoch FROM r.accepted_at - :since) / :width)::int AS slot, count(*) AS accepted,
       count(*) FILTER (WHERE r.state = 'failed' OR
           r.state <> 'cancelled' AND coalesce(r.stored_at, now()) > r.deadline_at) AS late,
       avg(coalesce((r.qualities ->> r.level)::float, r.predicted_quality))
           FILTER (WHERE r.stored_at IS NOT NULL) AS quality,
       avg(r.score) AS score,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM r.stored_at - r.accepted_at)::float) AS p95_s
FROM request r JOIN job j ON j.id = r.job_id
WHERE r.accepted_at >= :since AND r.accepted_at < :until AND {MINE} GROUP BY 1
"""
SERVED = f"""
SELECT floor(extract(epoch FROM r.stored_at - :since) / :width)::int AS slot, r.level, count(*) AS images
FROM request r JOIN job j ON j.id = r.job_id
WHERE r.stored_at >= :since AND r.stored_at < :until AND {MINE} AND r.level IS NOT NULL GROUP BY 1, 2
"""


@dataclass(frozen=True)
class Timeline:
    """A value a slot. Counts are of requests: `demand` and `late` by when they were accepted, `served` (by level) by
    when their image was stored. Quality is relative, as predicted; none in slots without a request."""

    since: datetime
    width_s: float
    demand: list[float]
    late: list[float]
    served: dict[str, list[float]]
    quality: list[float | None]
    score: list[float | None]
    p95_s: list[float | None]

    @property
    def starts(self) -> list[datetime]:
        """When each slot begins."""
        return [self.since + timedelta(seconds=slot * self.width_s) for slot in range(len(self.demand))]

    @property
    def in_time(self) -> list[float]:
        """Those that are not late."""
        return [accepted - late for accepted, late in zip(self.demand, self.late, strict=True)]


def timeline(session: Session, minutes: int) -> Timeline:
    """The last so many minutes, up to now, of the requests that the caller may see."""
    width_s = 60.0 * minutes / SLOTS
    until = datetime.now(UTC)
    since = until - timedelta(minutes=minutes)
    whose = caller().only
    given = {"since": since, "until": until, "width": width_s, "tenant": whose}
    arrived = [dict(row) for row in session.execute(text(ARRIVED), given).mappings()]
    served: dict[str, list[float]] = {}
    for row in session.execute(text(SERVED), given).mappings():
        served.setdefault(row["level"], [0.0] * SLOTS)[_within(row["slot"])] += row["images"]
    return Timeline(
        since,
        width_s,
        [value or 0.0 for value in _column(arrived, "accepted")],
        [value or 0.0 for value in _column(arrived, "late")],
        dict(sorted(served.items())),
        *(_column(arrived, name) for name in ("quality", "score", "p95_s")),
    )


def _column(rows: Iterable[dict[str, Any]], name: str) -> list[float | None]:
    found: list[float | None] = [None] * SLOTS
    for row in rows:
        found[_within(row["slot"])] = None if row[name] is None else float(row[name])
    return found


def _within(slot: int) -> int:
    return min(max(slot, 0), SLOTS - 1)
