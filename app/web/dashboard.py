"""`/dashboard`: demand and what became of it, the plan in force and why, what the workers hold."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import render_template, request

from app.access import needs
from app.records.holdings import Held, holdings
from app.records.plan import UNROUTED, plan_page
from app.records.report import report
from app.records.timeline import Timeline, timeline
from app.schemas.plan import PlanPage
from app.web import what_if
from app.web.blueprint import blueprint
from app.web.charts import Chart, chart, level_classes
from app.web.reasons import planned_load, why
from core.database import transaction
from core.families import Family, load_family
from core.keys import Scope
from core.settings import settings
from scheduler.observation.queries import profiles
from scheduler.observation.report import Report
from scheduler.observation.stored_plan import corrections_of

WINDOWS = (15, 60, 360, 1440)
COLOURS = 8  # of models


@dataclass(frozen=True)
class Bar:
    """A stretch of a worker's timeline, in thousandths of its width."""

    start: float
    width: float
    css: str
    models: str
    held: Held


@blueprint.get("/dashboard")
@needs(Scope.READ)
def dashboard() -> str:
    """The page, of the last `minutes`."""
    figures = _figures()
    about = {"windows": WINDOWS, "asking": what_if.asking(figures["state"])}
    return render_template("dashboard.html", **about, **figures, **_asked(about["asking"]))


@blueprint.get("/dashboard/figures")
@needs(Scope.READ)
def dashboard_figures() -> str:
    """All that changes on it."""
    return render_template("_figures.html", **_figures())


def _asked(asking: Any) -> dict[str, Any]:
    """What was asked of the simulator and what it found, where the address names it."""
    question = request.args.get("what_if", type=uuid.UUID)
    return what_if.told(question) if question and asking else {"question": None}


def _figures() -> dict[str, Any]:
    asked = request.args.get("minutes", 60, int)
    minutes = asked if asked in WINDOWS else 60
    family = load_family(settings().family)
    with transaction() as session:
        state, served = plan_page(session), report(session, minutes)
        line, held = timeline(session, minutes), holdings(session, minutes)
    measured = profiles(family, {worker.device_type for worker in state.workers})
    return {
        "minutes": minutes,
        "state": state,
        "report": served,
        "levels": _levels(state, served),
        "load": planned_load(state.plan.decided if state.plan else {}),
        "corrections": corrections_of(state.plan.observed) if state.plan else {},
        "why": why(state.plan, family, measured) if state.plan else [],
        "line": line,
        "charts": charts_of(line, family),
        "bars": {name: bars(some, line, family) for name, some in held.items()},
    }


def charts_of(line: Timeline, family: Family) -> list[Chart]:
    """Served by level under demand; in time and late; quality; latency."""
    clocks, per_minute = [f"{at:%H:%M}" for at in line.starts], 60 / line.width_s
    names = [
        *(level for level in family.levels if level in line.served),
        *sorted(set(line.served) - set(family.levels)),
    ]
    classes = level_classes(tuple(dict.fromkeys((*family.levels, *names))))
    served = {name: (classes[name], _times(line.served[name], per_minute)) for name in names}
    kept = {
        "in time": ("done", _times(line.in_time, per_minute)),
        "late or failed": ("failed", _times(line.late, per_minute)),
    }
    demand = {"demand": ("demand", _times(line.demand, per_minute))}
    quality = {"predicted quality": ("exact", line.quality)}
    worst = min((value for value in line.quality if value is not None), default=0.9)
    low = int(10 * min(worst, 0.95)) / 10
    return [
        chart("Served by level, and demand", "a minute", clocks, served, demand),
        chart("Accepted: in time, late or failed", "a minute", clocks, kept, {}),
        chart("Relative quality", "of exact", clocks, {}, quality, low=low, digits=3, top=1.0),
        chart("Latency, 95th percentile", "s", clocks, {}, {"p95": ("ac", line.p95_s)}),
    ]


def bars(held: Sequence[Held], line: Timeline, family: Family) -> list[Bar]:
    """A worker's timeline; its colour is that of the first model that it was told to hold."""
    order, whole = list(family.models), line.width_s * len(line.demand)
    found = []
    for one in held:
        first = one.models[0] if one.models else ""
        css = f"model{order.index(first) % COLOURS}" if first in order else "other"
        start = 1000 * (one.start - line.since).total_seconds() / whole
        width = 1000 * (one.end - one.start).total_seconds() / whole
        found.append(Bar(max(0.0, start), min(width, 1000 - start), css, ", ".join(one.models) or "nothing", one))
    return found


def _times(values: Sequence[float], factor: float) -> list[float | None]:
    return [factor * value for value in values]


def _levels(state: PlanPage, served: Report) -> list[tuple[str, dict[str, Any]]]:
    """A row for each level with requests in the window, or waiting now."""
    names = dict.fromkeys((*served.levels, *state.waiting, *state.running))
    names.pop(UNROUTED, None)
    total = sum(figures.requests for figures in served.levels.values()) or 1
    rows = []
    for name in sorted(names):
        figures = served.levels[name].as_dict() if name in served.levels else {}
        now = {"waiting": state.waiting.get(name, 0), "running": state.running.get(name, 0)}
        rows.append((name, {**figures, **now, "share": figures.get("requests", 0) / total}))
    return rows
