"""What was served in a window of time, from the view `report_request`: for `argus report`, the API and the pages."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.quality import SHORTFALL_SQL

# The quality predicted for the level that was used, which may have changed since the request was routed.
RELATIVE = "coalesce(CAST(q.qualities ->> r.level AS float), r.predicted_quality)"
# Audits are requests of the scheduler itself, drawn a second time to measure quality: they are not traffic.
WINDOW = """
FROM report_request r JOIN request q ON q.id = r.id
WHERE r.source <> 'audit' AND r.accepted_at >= :since AND r.accepted_at < :until
  AND (CAST(:job AS uuid) IS NULL OR r.job_id = CAST(:job AS uuid))
"""
FIGURES = f"""
count(*) AS requests, count(r.stored_at) AS images,
count(*) FILTER (WHERE r.state = 'failed') AS failed,
count(*) FILTER (WHERE r.state IN ('accepted', 'queued', 'running')) AS waiting,
count(*) FILTER (WHERE r.violated) AS violations,
percentile_cont(0.5) WITHIN GROUP (ORDER BY r.latency_s) AS latency_p50_s,
percentile_cont(0.95) WITHIN GROUP (ORDER BY r.latency_s) AS latency_p95_s,
percentile_cont(0.99) WITHIN GROUP (ORDER BY r.latency_s) AS latency_p99_s,
avg(r.denoise_s) AS denoise_mean_s, count(r.score) AS scored, avg(r.score) AS score_mean,
avg({RELATIVE}) AS predicted_quality,
avg({SHORTFALL_SQL.format(RELATIVE)}) FILTER (WHERE r.stored_at IS NOT NULL) AS quality_lost
"""
TOTAL = f"SELECT {FIGURES}, min(r.accepted_at) AS first, max(coalesce(r.stored_at, r.accepted_at)) AS last {WINDOW}"
LEVELS = f"SELECT r.family, coalesce(r.level, 'unrouted') AS level, {FIGURES} {WINDOW} GROUP BY 1, 2 ORDER BY 1, 2"


@dataclass(frozen=True)
class Figures:
    """What became of a set of requests. Times in seconds, rates as shares of 1, `score_mean` a CLIPScore.

    Percentiles count what was stored; a violation is a request that failed, or was not stored by its deadline.
    `predicted_quality` is the mean relative quality that was predicted, `quality_lost` its mean shortfall from 1 over
    the images (`core.quality`), `audited_quality` the measured mean (of `audits` images that were drawn again at the
    reference level).
    """

    requests: int
    images: int
    failed: int
    waiting: int
    violations: int
    latency_p50_s: float | None
    latency_p95_s: float | None
    latency_p99_s: float | None
    denoise_mean_s: float | None
    scored: int
    score_mean: float | None
    predicted_quality: float | None
    quality_lost: float | None = None
    audited_quality: float | None = None
    audits: int = 0

    @property
    def violation_rate(self) -> float:
        return self.violations / self.requests if self.requests else 0.0

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "violation_rate": self.violation_rate}


@dataclass(frozen=True)
class Report:
    """Figures of all and by level, of requests accepted from `since` to `until`.

    `seconds` lie between the first acceptance and the last stored image.
    """

    since: datetime
    until: datetime
    seconds: float
    total: Figures
    levels: dict[str, Figures]

    @property
    def images_per_minute(self) -> float:
        return 60.0 * self.total.images / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For programs: the total, then each level under `levels`."""
        return {
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "seconds": self.seconds,
            "images_per_minute": self.images_per_minute,
            **self.total.as_dict(),
            "levels": {name: figures.as_dict() for name, figures in self.levels.items()},
        }


def make_report(session: Session, since: datetime, until: datetime, job: str | None = None) -> Report:
    """Read the report of requests accepted in [since, until), of one job when `job` is its id."""
    values = {"since": since, "until": until, "job": job}
    total = dict(session.execute(text(TOTAL), values).mappings().one())
    first, last = total.pop("first"), total.pop("last")
    by_level = [dict(row) for row in session.execute(text(LEVELS), values).mappings()]
    families = {row["family"] for row in by_level}
    levels = {}
    for row in by_level:
        family, level = row.pop("family"), row.pop("level")
        name = level if len(families) == 1 else f"{family}/{level}"
        levels[name] = Figures(**row, **_audits(session, family, level, since))
    seconds = (last - first).total_seconds() if first else 0.0
    return Report(since, until, seconds, Figures(**total), levels)


def _audits(session: Session, family_id: str, level: str, since: datetime) -> dict[str, Any]:
    """Mean measured relative quality of a level: of its images that were drawn again at the reference level."""
    from core.errors import ArgusError
    from core.families import load_family
    from scheduler.prediction.audit import audited

    try:
        pairs = audited(session, load_family(family_id), datetime.now(UTC) - since)
    except ArgusError:  # the family's file is gone; its requests are not
        return {}
    measured = [pair.measured for pair in pairs if pair.level == level]
    return {"audits": len(measured), "audited_quality": sum(measured) / len(measured) if measured else None}
