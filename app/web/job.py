"""`/jobs/<id>`: a job as it goes on, its images as they appear."""

from __future__ import annotations

import uuid
from typing import Any

from flask import redirect, render_template, request, url_for
from pydantic import ValidationError

from app import moves
from app.access import needs
from app.records.jobs import job_page, read_job
from app.schemas.selection import MoveIn, ReorderIn
from app.security import FIELD, check_form
from app.submission import input_error
from app.uploads.files import ASSUMED, WESTERN
from app.web.blueprint import blueprint
from core.database import transaction
from core.keys import Scope

PER_PAGE = 60
MOST_PAGES = 1_000_000  # the database counts no further than 2⁶³ rows


@blueprint.get("/jobs/<uuid:job_id>")
@needs(Scope.READ)
def job(job_id: uuid.UUID) -> str:
    """The job with one page of its images; `app/static/argus.js` follows its events."""
    page = min(max(1, request.args.get("page", 1, int)), MOST_PAGES)
    with transaction() as session:
        found = job_page(session, job_id, page, PER_PAGE)
    assumed = ASSUMED if request.args.get("read_as") == WESTERN else None
    return render_template("job.html", job=found, pages=-(-found.size // PER_PAGE), assumed=assumed)


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
    said = {name: value for name, value in request.form.items() if value.strip() and name != FIELD}
    try:
        asked = (ReorderIn if move == "reorder" else MoveIn).model_validate(said)
    except ValidationError as error:
        raise input_error(error) from None
    moves.move(move, asked, job_id)
    return redirect(url_for("web.job", job_id=job_id), 303)
