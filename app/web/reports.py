"""`/reports`: what was kept and what it cost, by level, model, hour, tenant and job; each as a file, too."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from flask import Response, render_template, request

from app.access import caller, needs
from app.records.reports import KINDS, Period, Report
from app.schemas.report import PeriodIn
from app.web.blueprint import blueprint
from app.web.charts import Chart, chart
from app.web.form import validated
from core.csv_cells import as_csv
from core.database import transaction
from core.keys import Scope

Rows = Sequence[Mapping[str, Any]]
IN_MEMORY = 1024 * 1024  # bytes of a file, beyond which it lies on the disk meanwhile


@blueprint.get("/reports")
@needs(Scope.READ)
def reports() -> str:
    """One report, by `?by=`, of a period (`?since=`, `?until=`) or of all time."""
    by, said = request.args.get("by") or next(iter(KINDS)), _period()
    report = Report(by, Period(said.since, said.until))
    with transaction() as session:
        rows, totals = report.rows(session), report.totals(session)
    return render_template(
        "reports.html",
        by=by,
        kinds=KINDS,
        rows=rows,
        totals=totals,
        says_saved=report.says_saved,
        whose=caller().only,
        period=said.model_dump(mode="json", exclude_none=True),
        charts=by_hour(rows) if by == "hour" else [],
        starts=[row["hour"] for row in reversed(rows)] if by == "hour" else [],
    )


@blueprint.get("/reports/<by>.csv")
@needs(Scope.READ)
def report_file(by: str) -> Response:
    """The same as CSV, with every row and column; it is read before it is sent, so that a slow client holds nothing."""
    said = _period()
    report = Report(by, Period(said.since, said.until))
    file = tempfile.SpooledTemporaryFile(IN_MEMORY, "w+", encoding="utf-8", newline="")  # noqa: SIM115 - `_pieces`
    with transaction() as session:
        file.writelines(as_csv(*row) for row in report.all_rows(session))
    response = Response(_pieces(file), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="argus-{report.kind.view}.csv"'
    return response


def _pieces(file: IO[str]) -> Iterator[str]:
    with file:
        file.seek(0)
        while piece := file.read(IN_MEMORY // 16):
            yield piece


def _period() -> PeriodIn:
    said = {name: request.args.get(name, "").strip() for name in PeriodIn.model_fields}
    return validated(PeriodIn, {name: value for name, value in said.items() if value})


def by_hour(rows: Rows) -> list[Chart]:
    """Violations and quality by hour, the oldest first; hours in which nothing was accepted are left out."""
    hours = list(reversed(rows))
    clocks = [f"{row['hour']:%d %b %H:%M}" for row in hours]
    quality = [row["quality_mean"] for row in hours]
    low = min([0.9, *(int(20 * value) / 20 for value in quality if value is not None)])
    late = [row["violation_rate"] for row in hours]
    images = [float(row["images"] or 0) for row in hours]
    return [
        chart("Images", "an hour", clocks, {"images": ("exact", images)}, {}, digits=0),
        chart("Late or failed", "share", clocks, {}, {"late or failed": ("failed", late)}, digits=3),
        chart("Relative quality", "of exact", clocks, {}, {"quality": ("exact", quality)}, low=low, digits=3, top=1.0),
    ]
