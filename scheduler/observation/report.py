"""What was served in a window of time, from the view `report_request`: for `argus report`, the API and the pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.quality import SHORTFALL_SQL

if TYPE_CHECKING:
    from scheduler.prediction.audit import Audited

MEMORY = "64MB"  # for the sorts behind the percentiles of a day
# The quality predicted for the level that was used, which may have changed since the request was routed.
RELATIVE = "coalesce(CAST(r.qualities ->> r.level AS float), r.predicted_quality)"
WINDOW = """
FROM report_request r
WHERE r.accepted_at >= :since AND r.accepted_at < :until
  AND (CAST(:job AS uuid) IS NULL OR r.job_id = CAST(:job AS uuid))
  AND (CAST(:tenant AS text) IS NULL OR r.tenant = :tenant)
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
avg(r.relative) AS predicted_quality,
avg({SHORTFALL_SQL.format("r.relative")}) FILTER (WHERE r.stored_at IS NOT NULL) AS quality_lost
"""
# One pass over narrow rows: by level, and of all (`whole`).
REPORT = f"""
WITH r AS MATERIALIZED (
    SELECT r.family, r.level, r.state, r.accepted_at, r.stored_at, r.violated, r.latency_s, r.denoise_s, r.score,
           {RELATIVE} AS relative
    {WINDOW}
)
SELECT grouping(r.family) = 1 AS whole, r.family, coalesce(r.level, 'unrouted') AS level, {FIGURES},
min(r.accepted_at) AS first, max(coalesce(r.stored_at, r.accepted_at)) AS last
FROM r GROUP BY GROUPING SETS ((), (r.family, r.level)) ORDER BY whole, r.family, level
"""


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


def make_report(
    session: Session, since: datetime, until: datetime, job: str | None = None, tenant: str | None = None
) -> Report:
    """Read the report of requests accepted in [since, until), of one job when `job` is its id, of one tenant."""
    values = {"since": since, "until": until, "job": job, "tenant": tenant}
    session.execute(text(f"SET LOCAL work_mem = '{MEMORY}'"))
    rows = [dict(row) for row in session.execute(text(REPORT), values).mappings()]
    total = next(row for row in rows if row["whole"])
    families = {row["family"] for row in rows if not row["whole"]}
    pairs = {family: _audits(session, family, since) for family in families}
    levels = {}
    for row in rows:
        if not row["whole"]:
            name = row["level"] if len(families) == 1 else f"{row['family']}/{row['level']}"
            levels[name] = _figures(row, [p.measured for p in pairs[row["family"]] if p.level == row["level"]])
    first, last = total["first"], total["last"]
    seconds = (last - first).total_seconds() if first else 0.0
    return Report(since, until, seconds, _figures(total), levels)


def _figures(row: Mapping[str, Any], audits: Sequence[float] = ()) -> Figures:
    """Figures of a row of the report, with the relative qualities that audits measured."""
    known = {field.name: row[field.name] for field in fields(Figures) if field.name in row}
    return Figures(**known, audits=len(audits), audited_quality=sum(audits) / len(audits) if audits else None)


def _audits(session: Session, family_id: str, since: datetime) -> Sequence[Audited]:
    """Measured relative qualities: of images that were drawn again at the reference level."""
    from core.errors import ArgusError
    from core.families import load_family
    from scheduler.prediction.audit import audited

    try:
        return audited(session, load_family(family_id), datetime.now(UTC) - since)
    except ArgusError:  # the family's file is gone; its requests are not
        return ()
