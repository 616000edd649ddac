"""`/reports`: what was kept and what it cost, by level, model, hour, tenant and job; each as a file, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response, render_template, request

from app.access import needs
from app.records.reports import KINDS, kinds, read_report, saved
from app.web.blueprint import blueprint
from app.web.charts import Chart, chart
from core.csv_cells import as_csv
from core.database import transaction
from core.keys import Scope

Rows = Sequence[Mapping[str, Any]]


@blueprint.get("/reports")
@needs(Scope.READ)
def reports() -> str:
    """One report, by `?by=`; the first that the caller may read where that says nothing."""
    offered = kinds()
    by = request.args.get("by") or next(iter(offered))
    with transaction() as session:
        rows = read_report(session, by)
    return render_template(
        "reports.html",
        by=by,
        kinds=offered,
        rows=rows,
        saved=saved(rows),
        charts=by_hour(rows) if by == "hour" else [],
        starts=[row["hour"] for row in reversed(rows)] if by == "hour" else [],
    )


@blueprint.get("/reports/<by>.csv")
@needs(Scope.READ)
def report_file(by: str) -> Response:
    """The same as CSV, with every column of its view."""
    with transaction() as session:
        rows = read_report(session, by)
    lines = [as_csv(*rows[0]), *(as_csv(*row.values()) for row in rows)] if rows else []
    response = Response("".join(lines), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="argus-{KINDS[by].view}.csv"'
    return response


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
        chart("Relative quality", "of exact", clocks, {}, {"quality": ("exact", quality)}, low=low, digits=3),
    ]
