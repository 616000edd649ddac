"""`/dashboard`: the plan in force, the workers, the last hour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import render_template, request

from app.access import needs
from app.records.plan import UNROUTED, plan_page
from app.records.report import report_out
from app.schemas.plan import PlanPage
from app.schemas.report import ReportOut
from app.web.blueprint import blueprint
from core.database import transaction
from core.keys import Scope

WINDOWS = (15, 60, 360, 1440)


@blueprint.get("/dashboard")
@needs(Scope.READ)
def dashboard() -> str:
    """The page; charts are drawn by `app/static/dashboard.js` from `/v1/report`."""
    return render_template("dashboard.html", windows=WINDOWS, **_figures())


@blueprint.get("/dashboard/figures")
@needs(Scope.READ)
def dashboard_figures() -> str:
    """Everything on it but the charts."""
    return render_template("_figures.html", **_figures())


def _figures() -> dict[str, Any]:
    asked = request.args.get("minutes", 60, int)
    minutes = asked if asked in WINDOWS else 60
    with transaction() as session:
        state, report = plan_page(session), report_out(session, minutes)
    return {
        "minutes": minutes,
        "state": state,
        "report": report,
        "levels": _levels(state, report),
        "load": _load(state.plan.decided if state.plan else {}),
    }


def _levels(state: PlanPage, report: ReportOut) -> list[tuple[str, dict[str, Any]]]:
    """A row for each level with requests in the window, or waiting now."""
    names = dict.fromkeys((*report.levels, *state.waiting, *state.running))
    names.pop(UNROUTED, None)
    total = sum(figures["requests"] for figures in report.levels.values()) or 1
    rows = []
    for name in sorted(names):
        figures = report.levels.get(name, {})
        now = {"waiting": state.waiting.get(name, 0), "running": state.running.get(name, 0)}
        rows.append((name, {**figures, **now, "share": figures.get("requests", 0) / total}))
    return rows


def _load(decided: Mapping[str, Any]) -> list[tuple[str, float, float | None]]:
    """Planned load of each level in requests a minute, with the level's price, the biggest first."""
    plan = decided.get("plan", decided)
    load: dict[str, float] = {}
    for served in plan.get("served", {}).values():
        for level, rate in served.items():
            load[level] = load.get(level, 0.0) + rate
    prices = plan.get("prices", {})
    return sorted(((level, rate, prices.get(level)) for level, rate in load.items() if rate), key=lambda row: -row[1])
