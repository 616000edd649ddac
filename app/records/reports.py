"""What the report views say (docs/reports.md), for the page and its files.

::

    of all time, of everybody         report_level, report_model, report_tenant
    by the hour or the job            report_hour, report_job: a row says when it was
    of a period, or of one tenant     report_usage, summed by the same columns: it keeps no percentiles, and not what
                                      exact would have taken
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.access import caller
from core.errors import NotFound

HOUR = 3600.0
A_READ = 1000  # rows
SUMS = """
    sum(accepted)::bigint AS accepted, sum(done + failed + cancelled)::bigint AS requests,
    sum(images)::bigint AS images, sum(failed)::bigint AS failed, sum(violations)::bigint AS violations,
    (sum(violations) / nullif(sum(done + failed), 0))::float AS violation_rate,
    sum(latency_s) / nullif(sum(done), 0) AS latency_mean_s, sum(service_s) / nullif(sum(done), 0) AS service_mean_s,
    sum(quality) / nullif(sum(judged), 0) AS quality_mean, sum(quality_lost) / nullif(sum(judged), 0) AS quality_lost,
    sum(score) / nullif(sum(scored), 0) AS score_mean, sum(scored)::bigint AS scored, sum(device_s) AS device_s
"""
MINE = "(CAST(:tenant AS text) IS NULL OR tenant = :tenant)"
WITHIN = """
    (CAST(:since AS timestamptz) IS NULL OR {time} >= date_trunc('hour', CAST(:since AS timestamptz), 'UTC'))
    AND (CAST(:until AS timestamptz) IS NULL OR {time} < CAST(:until AS timestamptz))
"""
TOTALS = """
SELECT count(*) AS rows, coalesce(sum(images), 0)::bigint AS images, coalesce(sum(requests), 0)::bigint AS requests,
       coalesce(sum(violations), 0)::bigint AS violations, coalesce(sum(device_s), 0)::float AS used_s,
       {known} AS known_s, {saved} AS saved_s
FROM ({report}) report
"""


class Period(NamedTuple):
    """From the hour of a time up to before another; none: without an end."""

    since: datetime | None = None
    until: datetime | None = None


ALWAYS = Period()


@dataclass(frozen=True)
class Kind:
    """A report.

    Args:
        view: what it reads.
        order: of its rows.
        most: rows that a page shows; a file has all.
        keys: what `report_usage` is summed by, where the view tells too much or not when.
        drawn: which of that it is about.
        time: the column of the view that says when.
        by_tenant: each row of the view says whose it is.
    """

    view: str
    title: str
    order: str
    most: int
    keys: str = ""
    drawn: str = "true"
    time: str | None = None
    by_tenant: bool = False


BY_IMAGES = "images DESC NULLS LAST, {}".format
KINDS = {
    "level": Kind("report_level", "Level", BY_IMAGES("level"), 200, "family, level", "level <> 'unrouted'"),
    "model": Kind("report_model", "Model", BY_IMAGES("model"), 200, "family, model", "model IS NOT NULL"),
    "hour": Kind("report_hour", "Hour", "hour DESC", 24 * 7, "hour, family", time="hour"),
    "tenant": Kind("report_tenant", "Tenant", BY_IMAGES("tenant"), 500, "tenant, family", by_tenant=True),
    "job": Kind("report_job", "Job", "created_at DESC", 200, time="created_at", by_tenant=True),
}


@dataclass(frozen=True)
class Saved:
    """Device hours that images took, those of them that are known to have been saved at against `exact`, and how many
    were saved; none where not known."""

    used_h: float
    known_h: float
    saved_h: float | None

    @property
    def share(self) -> float | None:
        """Of what `exact` would have taken, as far as that is known."""
        whole = self.known_h + (self.saved_h or 0.0)
        return None if self.saved_h is None or whole <= 0 else self.saved_h / whole


@dataclass(frozen=True)
class Totals:
    """Over all rows of a report."""

    rows: int
    images: int
    requests: int
    violations: int
    saved: Saved


@dataclass(frozen=True)
class Report:
    """The statement of a report, as far as the caller may see it; raises `NotFound`: there is no such report."""

    name: str
    period: Period = ALWAYS

    def __post_init__(self) -> None:
        if self.name not in KINDS:
            raise NotFound(f"There is no report by {self.name}; there are {', '.join(KINDS)}.", field="by")

    @property
    def kind(self) -> Kind:
        return KINDS[self.name]

    def rows(self, session: Session) -> list[Mapping[str, Any]]:
        """The first of them, as many as a page shows."""
        query = text(f"{self._sql} ORDER BY {self.kind.order} LIMIT {self.kind.most}")
        return [dict(row) for row in session.execute(query, self._values).mappings()]

    def all_rows(self, session: Session) -> Iterator[tuple[Any, ...]]:
        """The names of its columns, then every row, a thousand at hand."""
        query = text(f"{self._sql} ORDER BY {self.kind.order}").execution_options(yield_per=A_READ)
        found = session.execute(query, self._values)
        yield tuple(found.keys())
        yield from map(tuple, found)

    def totals(self, session: Session) -> Totals:
        """Over every row."""
        known, saved = "sum(device_s) FILTER (WHERE device_saved_s IS NOT NULL)", "sum(device_saved_s)"
        parts = {"known": known, "saved": saved} if self.says_saved else {"known": "0", "saved": "NULL"}
        row = session.execute(text(TOTALS.format(report=self._sql, **parts)), self._values).one()
        hours = Saved(row.used_s / HOUR, (row.known_s or 0) / HOUR, None if row.saved_s is None else row.saved_s / HOUR)
        return Totals(row.rows, row.images, row.requests, row.violations, hours)

    @property
    def says_saved(self) -> bool:
        """Whether its rows have what was saved."""
        return not self._summed and self.name != "job"

    @property
    def _summed(self) -> bool:
        """Whether the view cannot tell it: it says not when, or not whose."""
        too_long = any(self.period) and self.kind.time is None
        return too_long or (caller().only is not None and not self.kind.by_tenant)

    @property
    def _sql(self) -> str:
        kind, within = self.kind, WITHIN.format(time="hour" if self._summed else self.kind.time)
        if self._summed:
            where = f"{kind.drawn} AND {MINE} AND {within}"
            return f"SELECT {kind.keys}, {SUMS} FROM report_usage WHERE {where} GROUP BY {kind.keys}"
        where = f"{MINE if kind.by_tenant else 'true'} AND {within if kind.time else 'true'}"
        return f"SELECT * FROM {kind.view} WHERE {where}"

    @property
    def _values(self) -> dict[str, Any]:
        return {"tenant": caller().only, **self.period._asdict()}
