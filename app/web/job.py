"""`/jobs/<id>`: a job as it goes on; its images in a grid of which what is seen is loaded."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from flask import redirect, render_template, request, url_for

from app import moves
from app.access import needs
from app.records.grid import A_CHUNK, chunks, tiles, waits_for_scores
from app.records.jobs import find_job, read_job
from app.records.selection import written
from app.schemas.selection import MOST_PLACES, MOST_PRIORITY, MoveIn, ReorderIn, Selection
from app.security import FIELD, check_form
from app.uploads.files import ASSUMED, WESTERN
from app.web.blueprint import blueprint
from app.web.form import validated
from core.database import transaction
from core.families import load_family
from core.keys import Scope
from core.settings import settings
from core.tables import State

NOT_SELECTING = ("read_as", "page", "start", "stop", FIELD)  # parameters that say nothing about requests


@blueprint.get("/jobs/<uuid:job_id>")
@needs(Scope.READ)
def job(job_id: uuid.UUID) -> str:
    """The job with its first images; `grid.js` loads others when they are seen, `argus.js` follows its events."""
    selection = _selection(request.args)
    with transaction() as session:
        found = read_job(session, job_id)
        parts = chunks(session, job_id, found.size, selection)
        first = tiles(session, job_id, parts[0].start, parts[0].stop, selection) if parts else []
        follows = found.progress < 1 or waits_for_scores(session, job_id)
    assumed = ASSUMED if request.args.get("read_as") == WESTERN else None
    said = written(selection)
    about = {"states": list(State), "levels": list(load_family(settings().family).levels)}
    about |= {"most_places": MOST_PLACES, "most_priority": MOST_PRIORITY}
    return render_template(
        "job.html", job=found, chunks=parts, first=first, follows=follows, said=said, assumed=assumed, **about
    )


@blueprint.get("/jobs/<uuid:job_id>/tiles")
@needs(Scope.READ)
def job_tiles(job_id: uuid.UUID) -> str:
    """One chunk of the grid: selected requests at positions `start` up to before `stop`."""
    start = _place("start", 0)
    stop = _place("stop", start + A_CHUNK)
    with transaction() as session:
        find_job(session, job_id)
        found = tiles(session, job_id, start, stop, _selection(request.args))
    return render_template("_tiles.html", requests=found)


@blueprint.get("/jobs/<uuid:job_id>/head")
@needs(Scope.READ)
def job_head(job_id: uuid.UUID) -> str:
    """State, counts and progress."""
    with transaction() as session:
        found = read_job(session, job_id)
    return render_template("_job_head.html", job=found)


@blueprint.post("/jobs/<uuid:job_id>/<any(cancel, pause, resume, retry, reorder):move>")
@needs(Scope.SUBMIT)
def move_requests(job_id: uuid.UUID, move: str) -> Any:
    """Do it to those of the job's requests that the form selects; a field left empty selects nothing."""
    check_form()
    asked = _asked() if move != "reorder" else validated(ReorderIn, _filled(request.form))
    moves.move(move, asked, job_id)
    return redirect(url_for("web.job", job_id=job_id), 303)


@blueprint.post("/jobs/<uuid:job_id>/moves")
@needs(Scope.SUBMIT)
def possible_moves(job_id: uuid.UUID) -> str:
    """To how many of those that the form selects each move would be done: the buttons, with that on them."""
    check_form()
    asked = _asked().model_copy(update={"dry_run": True})
    counts = {name: moves.move(name, asked, job_id).requests for name in moves.MOVES}
    return render_template("_moves.html", job_id=job_id, counts=counts)


def _asked() -> MoveIn:
    """What the form selects; beside the buttons is a priority, which is for reordering alone."""
    return validated(MoveIn, {name: value for name, value in _filled(request.form).items() if name != "priority"})


def _selection(said: Mapping[str, str]) -> Selection:
    """The filter of a page; places are what is selected of that."""
    return validated(Selection, {name: value for name, value in _filled(said).items() if name != "positions"})


def _filled(said: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in said.items() if value.strip() and name not in NOT_SELECTING}


def _place(name: str, default: int) -> int:
    """A position as the query says it, within what the database counts to."""
    return min(max(0, request.args.get(name, default, int)), 2**31 - 1)
