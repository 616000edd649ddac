"""`argus report`: what was served, read from the view `report_request`."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO

import click
from sqlalchemy import text
from sqlalchemy.orm import Session

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

# Audits are our own second drawings of other people's requests; they are nobody's traffic.
WINDOW = """
FROM report_request r
WHERE r.source <> 'audit' AND r.accepted_at >= :since AND r.accepted_at < :until
  AND (CAST(:job AS uuid) IS NULL OR r.job_id = CAST(:job AS uuid))
"""

FIGURES = """
count(*) AS requests, count(r.stored_at) AS images,
count(*) FILTER (WHERE r.state = 'failed') AS failed,
count(*) FILTER (WHERE r.state IN ('accepted', 'queued', 'running')) AS waiting,
count(*) FILTER (WHERE r.violated) AS violations,
percentile_cont(0.5) WITHIN GROUP (ORDER BY r.latency_s) AS latency_p50_s,
percentile_cont(0.95) WITHIN GROUP (ORDER BY r.latency_s) AS latency_p95_s,
percentile_cont(0.99) WITHIN GROUP (ORDER BY r.latency_s) AS latency_p99_s,
avg(r.denoise_s) AS denoise_mean_s, count(r.score) AS scored, avg(r.score) AS score_mean,
avg(r.predicted_quality) AS predicted_quality
"""

TOTAL = f"SELECT {FIGURES}, min(r.accepted_at) AS first, max(coalesce(r.stored_at, r.accepted_at)) AS last {WINDOW}"
LEVELS = f"SELECT r.family, coalesce(r.level, 'unrouted') AS level, {FIGURES} {WINDOW} GROUP BY 1, 2 ORDER BY 1, 2"


@dataclass(frozen=True)
class Figures:
    """What became of a set of requests. Times in seconds, rates as shares of 1, `score_mean` a CLIPScore.

    Percentiles count what was stored; a violation is a request that failed, or was not stored by its deadline.
    `predicted_quality` is the predicted, `audited_quality` the measured mean relative quality (of `audits` images that
    were drawn again at the reference level).
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
    audited_quality: float | None = None
    audits: int = 0

    @property
    def violation_rate(self) -> float:
        return self.violations / self.requests if self.requests else 0.0

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "violation_rate": self.violation_rate}


@dataclass(frozen=True)
class Report:
    """Figures of all and by level, of requests accepted from `since` to `until`; `seconds` first accepted to last stored."""

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
    """Mean measured relative quality of a level, from what was drawn a second time at the reference level."""
    from core.errors import ArgusError
    from core.families import load_family
    from scheduler.audit import audited

    try:
        pairs = audited(session, load_family(family_id), datetime.now(UTC) - since)
    except ArgusError:  # the family's file is gone; its requests are not
        return {}
    measured = [pair.measured for pair in pairs if pair.level == level]
    return {"audits": len(measured), "audited_quality": sum(measured) / len(measured) if measured else None}


class Moment(click.ParamType):
    """`10m`, `2h`, `1d` ago, or an ISO time (UTC unless it says otherwise)."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        if match := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", value):
            return datetime.now(UTC) - timedelta(**{UNITS[match[2]]: float(match[1])})
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is neither a duration (10m, 2h, 1d) nor an ISO time.", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@click.command()
@click.option("--last", "--since", "since", type=Moment(), default="1h", show_default=True,
              help="From when on requests were accepted: 10m, 2h, 1d ago or an ISO time (UTC).")  # fmt: skip
@click.option("--until", type=Moment(), help="Until when; default now.")
@click.option("--job", type=click.UUID, help="Only this job.")
@click.option("--json", "out", type=click.File("w"), help="Also write the figures as JSON to this file (- is stdout).")
def report(since: datetime, until: datetime | None, job: Any, out: TextIO | None) -> None:
    """Throughput, latency, SLO violations and quality of what was served.

    Latency counts from acceptance to the stored image. A violation is a request that failed, or was not stored by its
    deadline. CLIP is the mean score of the images; predicted and audited quality are relative to the exact level.
    """
    from core.database import transaction

    with transaction() as session:
        made = make_report(session, since, until or datetime.now(UTC), str(job) if job else None)
    if out is not None:
        json.dump(made.as_dict(), out, indent=1)
        out.write("\n")
    if out is None or out.name != "<stdout>":
        show(made)


def show(made: Report) -> None:
    """Print the report for people."""
    from rich.table import Table

    from app.terminal import make_console

    total, console = made.total, make_console()
    console.print(
        f"{total.requests} requests accepted from {made.since:%Y-%m-%d %H:%M:%S} to {made.until:%Y-%m-%d %H:%M:%S} UTC: "
        f"{total.images} images, {total.failed} failed, {total.waiting} waiting.\n"
        f"Throughput {made.images_per_minute:.1f} images/min. SLO violations {total.violations} "
        f"({100 * total.violation_rate:.1f} %).",
        highlight=False,
    )
    table = Table("level", *("requests", "p50 s", "p95 s", "p99 s", "denoise s", "violations %", "CLIP", "scored",
                             "predicted", "audited (n)"))  # fmt: skip
    for column in table.columns[1:]:
        column.justify = "right"
    for name, figures in [*made.levels.items(), ("all", total)]:
        table.add_row(name, *_cells(figures), end_section=name == list(made.levels or [""])[-1])
    console.print(table)


def _cells(figures: Figures) -> list[str]:
    audited = f"{_number(figures.audited_quality, 3)} ({figures.audits})" if figures.audits else "–"
    times = (figures.latency_p50_s, figures.latency_p95_s, figures.latency_p99_s, figures.denoise_mean_s)
    return [
        str(figures.requests),
        *(_number(seconds, 2) for seconds in times),
        f"{100 * figures.violation_rate:.1f}",
        _number(figures.score_mean, 3),
        str(figures.scored),
        _number(figures.predicted_quality, 3),
        audited,
    ]


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
