"""`/compare`: the same prompt at every level; images beside each other, two of them under a slider."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from flask import redirect, render_template, request, url_for

from app import comparing
from app.access import needs, submits
from app.errors import answer
from app.records.comparison import comparison, drawing_s, side_by_side
from app.records.levels import levels_out
from app.schemas.compare import MOST_SEEDS, SEEDS, CompareIn, ComparisonOut
from app.security import check_form
from app.web.blueprint import blueprint
from app.web.form import validated
from app.web.levels import choices
from core.database import transaction
from core.errors import ArgusError, BadInput
from core.families import load_family
from core.keys import Scope
from core.settings import settings

MOST_BESIDE = 24


@blueprint.get("/compare")
@needs(Scope.READ)
def compare() -> str:
    """The form; with `?ids=`, these requests beside each other."""
    if "ids" in request.args:
        ids = _ids(request.args["ids"])
        with transaction() as session:
            lines, drawn = side_by_side(session, ids), drawing_s(session, ids)
        shown = [(line, f"{line.level or line.state} · seed {line.seed}") for line in lines]
        return render_template("beside.html", lines=shown, seconds=drawn, pictures=_pictures(shown))
    return _form({})


@blueprint.post("/compare")
@submits
def submit_comparison() -> Any:
    """Draw the prompt at the levels that were ticked."""
    check_form()
    try:
        submitted = comparing.submit(_wanted(), "web")
    except ArgusError as error:
        return answer(error) if error.status >= 500 else (_form(request.form, error), error.status)
    return redirect(url_for("web.read_comparison", job_id=submitted.job.id), 303)


@blueprint.get("/compare/<uuid:job_id>")
@needs(Scope.READ)
def read_comparison(job_id: uuid.UUID) -> str:
    """A job's requests as a grid of level × seed."""
    return _grid("comparison.html", job_id)


@blueprint.get("/compare/<uuid:job_id>/grid")
@needs(Scope.READ)
def comparison_grid(job_id: uuid.UUID) -> str:
    """The grid alone, as it fills."""
    return _grid("_comparison.html", job_id)


def _grid(template: str, job_id: uuid.UUID) -> str:
    with transaction() as session:
        found = comparison(session, job_id)
    return render_template(template, found=found, pictures=_cells(found))


def _wanted() -> CompareIn:
    said = request.form
    seeds = [seed.strip() for seed in said.get("seeds", "").replace(";", ",").split(",") if seed.strip()]
    given = {"prompt": said.get("prompt", ""), "levels": said.getlist("levels") or None, "seeds": seeds or None}
    return validated(CompareIn, given)


def _form(values: Any, error: ArgusError | None = None) -> str:
    family = load_family(settings().family)
    with transaction() as session:
        offered = choices(levels_out(session, family))
    ticked = values.getlist("levels") if values else list(family.levels)
    seeds = ", ".join(map(str, SEEDS))
    return render_template(
        "compare.html", values=values, error=error, levels=offered, ticked=ticked, seeds=seeds, most_seeds=MOST_SEEDS
    )


def _ids(text: str) -> list[uuid.UUID]:
    try:
        found = [uuid.UUID(each) for each in text.split(",") if each.strip()]
    except ValueError:
        raise BadInput("These are no ids of requests.", field="ids") from None
    if len(found) > MOST_BESIDE:
        raise BadInput(f"{len(found)} images; at most {MOST_BESIDE} are shown beside each other.", field="ids")
    return found


def _pictures(shown: Sequence[tuple[Any, str]]) -> list[tuple[str, str]]:
    """Address and name of each that has an image, for the slider."""
    return [(str(line.image_id), name) for line, name in shown if line.image_id]


def _cells(found: ComparisonOut) -> list[tuple[str, str]]:
    cells = [(row.level, cell) for row in found.levels for cell in row.cells if cell and cell.image_id]
    return [(str(cell.image_id), f"{level} · seed {cell.seed}") for level, cell in cells]
