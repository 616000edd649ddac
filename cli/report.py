"""`argus report`: what was served, read from the view `report_request`."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO

import click

from scheduler.observation.report import Figures, Report, make_report

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Moment(click.ParamType[datetime]):
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

    from cli.terminal import make_console

    total, console = made.total, make_console()
    since, until = (f"{time:%Y-%m-%d %H:%M:%S}" for time in (made.since, made.until))
    console.print(
        f"{total.requests} requests accepted from {since} to {until} UTC: "
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
