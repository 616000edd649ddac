"""`/v1/levels`, `/v1/plan`, `/v1/report`: what can be had, what was decided, what became of it."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint

from app.access import needs
from app.records.levels import levels_out
from app.records.plan import plan_page
from app.records.report import report_out
from app.schemas.levels import LevelsOut
from app.schemas.plan import PlanPage
from app.schemas.report import ReportOut, WindowIn
from core.database import transaction
from core.families import load_family
from core.keys import Scope
from core.settings import settings

blueprint = APIBlueprint("levels", __name__, url_prefix="/v1", tag="Levels and plan")


@blueprint.get("/levels")
@needs(Scope.READ, Scope.SUBMIT)
@blueprint.output(LevelsOut)
def read_levels() -> Any:
    """Levels of the family served

    Defaults and limits of a request, and each level with what was measured of it here.
    """
    with transaction() as session:
        return levels_out(session, load_family(settings().family))


@blueprint.get("/plan")
@needs(Scope.READ)
@blueprint.output(PlanPage)
def read_plan() -> Any:
    """The plan in force

    What the scheduler saw and decided, and why; what waits at each level; the workers and what they hold.
    """
    with transaction() as session:
        return plan_page(session)


@blueprint.get("/report")
@needs(Scope.READ)
@blueprint.input(WindowIn, location="query", arg_name="window")
@blueprint.output(ReportOut)
def read_report(window: WindowIn) -> Any:
    """What was served

    Throughput, p50/p95/p99, SLO violations and quality: of all, by level and by minute.
    """
    with transaction() as session:
        return report_out(session, window.minutes)
