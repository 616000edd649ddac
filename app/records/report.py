"""Figures of what was served: of all, by level and by minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.access import caller
from app.schemas.report import MinuteOut, ReportOut
from scheduler.observation.report import make_report

MINUTES = """
SELECT date_trunc('minute', accepted_at) AS minute, count(*) AS accepted, count(stored_at) AS stored,
       count(*) FILTER (WHERE violated) AS violations,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_s) AS latency_p95_s, avg(score) AS score_mean
FROM report_request WHERE accepted_at >= :since AND accepted_at < :until
AND (CAST(:tenant AS text) IS NULL OR tenant = :tenant) GROUP BY 1 ORDER BY 1
"""


def report_out(session: Session, minutes: int) -> ReportOut:
    """Figures of the requests that the caller may see, accepted in the last so many minutes, and the same by minute."""
    until = datetime.now(UTC)
    since = until - timedelta(minutes=minutes)
    whose = caller().only
    made = make_report(session, since, until, tenant=whose)
    rows = session.execute(text(MINUTES), {"since": since, "until": until, "tenant": whose}).mappings()
    return ReportOut(
        since=since,
        until=until,
        images_per_minute=made.images_per_minute,
        total=made.total.as_dict(),
        levels={name: figures.as_dict() for name, figures in made.levels.items()},
        minutes=[MinuteOut.model_validate(dict(row)) for row in rows],
    )
