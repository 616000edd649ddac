"""`argus report`: what was served, read from the view `report_request`; and what the levels are worth."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.durations import duration
from cli.report_levels import levels
from cli.terminal import JSON_OUT, OUT_FILE, decimal, make_console, shows_table, write_json
from core.times import read_time

if TYPE_CHECKING:
    from scheduler.observation.report import Figures, Report

ALLOWED = "a duration such as 90m, 1h30m or 2d, of at most a century, or an ISO time such as 2026-11-27T13:00"
COLUMNS = (
    *("level", "requests", "p50 s", "p95 s", "p99 s", "denoise s", "violations %", "CLIP", "scored", "predicted"),
    "audited (n)",
)


class PointInTime(click.ParamType[datetime]):
    """A time in the past: `90m`, `1h30m`, `2d` ago, or an ISO time (UTC unless it says otherwise)."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return _ago(value) or read_time(value)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not what this takes: {ALLOWED}.", param, ctx)


def _ago(text: str) -> datetime | None:
    """The time so long ago; none where the text is no duration."""
    lasting = duration(text)
    return datetime.now(UTC) - lasting if lasting is not None else None


@click.group(invoke_without_command=True)
@click.option("--last", "--since", "since", type=PointInTime(), default="1h", show_default=True,
              help="From when on requests were accepted: 90m, 1h30m, 2d ago or an ISO time (UTC).")  # fmt: skip
@click.option("--until", type=PointInTime(), help="Until when; default now.")
@click.option("--job", type=click.UUID, help="Only this job.")
@click.option("--json", "out", type=JSON_OUT, help="Also write the figures as JSON to this file (- is stdout).")
@click.option("--trace-json", type=OUT_FILE, help="Also write the schedule as a Chrome trace, for ui.perfetto.dev.")
@click.pass_context
def report(
    ctx: click.Context, since: datetime, until: datetime | None, job: Any, out: Path | None, trace_json: Path | None
) -> None:
    """Throughput, latency, SLO violations and quality of what was served.

    Latency counts from acceptance to the stored image. A violation is a request that failed, or was not stored by its
    deadline. CLIP is the mean score of the images; predicted and audited quality are relative to the exact level.
    """
    if ctx.invoked_subcommand:
        return
    from core.chrome_trace import write
    from core.database import transaction
    from scheduler.observation.report import make_report
    from scheduler.observation.schedule import read_schedule

    window = (since, until or datetime.now(UTC), str(job) if job else None)
    with transaction() as session:
        made = make_report(session, *window)
        if trace_json is not None:
            write(read_schedule(session, *window), trace_json)
    write_json(out, made.as_dict())
    if shows_table(out):
        _show(made)


report.add_command(levels)


def _show(made: Report) -> None:
    """The report for people."""
    from rich.table import Table

    total, console = made.total, make_console()
    since, until = (f"{time:%Y-%m-%d %H:%M:%S}" for time in (made.since, made.until))
    console.print(
        f"{total.requests} requests accepted from {since} to {until} UTC: "
        f"{total.images} images, {total.failed} failed, {total.waiting} waiting.\n"
        f"Throughput {made.images_per_minute:.1f} images/min. SLO violations {total.violations} "
        f"({100 * total.violation_rate:.1f} %).",
        highlight=False,
    )
    table = Table(*COLUMNS)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, figures in [*made.levels.items(), ("all", total)]:
        table.add_row(name, *_cells(figures), end_section=name == list(made.levels or [""])[-1])
    console.print(table)


def _cells(figures: Figures) -> list[str]:
    audited = f"{decimal(figures.audited_quality, 3)} ({figures.audits})" if figures.audits else "–"
    times = (figures.latency_p50_s, figures.latency_p95_s, figures.latency_p99_s, figures.denoise_mean_s)
    return [
        str(figures.requests),
        *(decimal(seconds, 2) for seconds in times),
        f"{100 * figures.violation_rate:.1f}",
        decimal(figures.score_mean, 3),
        str(figures.scored),
        decimal(figures.predicted_quality, 3),
        audited,
    ]
