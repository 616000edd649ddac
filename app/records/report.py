"""Figures of what was served: of all, by level and by minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.access import caller
from app.schemas.report import MinuteOut, ReportOut
from scheduler.observation.report import Report, make_report

MINUTES = """
SELECT date_trunc('minute', accepted_at) AS minute, count(*) AS accepted, count(stored_at) AS stored,
       count(*) FILTER (WHERE violated) AS violations,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_s) AS latency_p95_s, avg(score) AS score_mean
FROM report_request WHERE accepted_at >= :since AND accepted_at < :until
AND (CAST(:tenant AS text) IS NULL OR tenant = :tenant) GROUP BY 1 ORDER BY 1
"""


def report(session: Session, minutes: int) -> Report:
    """Figures of the requests that the caller may see, accepted in the last so many minutes."""
    until = datetime.now(UTC)
    return make_report(session, until - timedelta(minutes=minutes), until, tenant=caller().only)


def report_out(session: Session, minutes: int) -> ReportOut:
    """The same as it is answered, and by minute."""
    made = report(session, minutes)
    window = {"since": made.since, "until": made.until, "tenant": caller().only}
    rows = session.execute(text(MINUTES), window).mappings()
    return ReportOut(
        since=made.since,
        until=made.until,
        images_per_minute=made.images_per_minute,
        total=made.total.as_dict(),
        levels={name: figures.as_dict() for name, figures in made.levels.items()},
        minutes=[MinuteOut.model_validate(dict(row)) for row in rows],
    )
