"""`/`: the form, and the jobs sent last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import redirect, render_template, request, url_for
from werkzeug.datastructures import FileStorage

from app import jobs
from app.access import needs, submits
from app.beginnings import IMAGE_STRENGTH, MASK_STRENGTH
from app.errors import answer
from app.records.jobs import job_list
from app.records.levels import levels_out
from app.schemas.submission import FormIn
from app.security import check_form
from app.uploads import read_upload
from app.uploads.files import WESTERN
from app.web.becomes import CHOICES, USUAL
from app.web.begin import files_kept, picture_of
from app.web.blueprint import blueprint
from app.web.form import lines_of, options_of
from app.web.levels import choices
from core.database import transaction
from core.errors import ArgusError, BadInput
from core.families import load_family
from core.keys import Scope
from core.settings import settings
from scheduler.observation.target import latency_target_s

RECENT = 8


@blueprint.get("/")
@needs(Scope.READ)
def home() -> str:
    """The form, filled in as its address says."""
    return _page(request.args)


@blueprint.post("/")
@submits
def submit() -> Any:
    """Take the form; what is wrong is shown above it, with everything still filled in."""
    check_form()
    values: Mapping[str, str] = request.form
    try:
        values = files_kept(values, request.files)
        submitted, read_as = _submit(values)
    except ArgusError as error:
        return answer(error) if error.status >= 500 else (_page(values, error), error.status)
    return redirect(url_for("web.job", job_id=submitted.job.id, read_as=read_as), 303)


@blueprint.get("/recent")
@needs(Scope.READ)
def recent() -> str:
    """The list of jobs sent last."""
    with transaction() as session:
        return render_template("_jobs.html", jobs=job_list(session, 1, RECENT).jobs)


def _submit(values: Mapping[str, str]) -> tuple[jobs.Submitted, str | None]:
    """The job, and the encoding that was assumed of a file."""
    form = options_of(values)
    file = request.files.get("file")
    if file and file.filename:
        return _submit_file(form, file)
    prompts: list[Any] = list(lines_of(values)) or ([""] if form.operator or form.second_image else [])
    if not prompts:
        raise BadInput("Write at least one prompt, or choose a file.", field="prompts")
    return jobs.submit(form.job(prompts=prompts), "web"), None


def _submit_file(form: FormIn, file: FileStorage) -> tuple[jobs.Submitted, str | None]:
    """A file is batch work unless the form says otherwise."""
    if "service_class" not in form.model_fields_set:
        form = form.model_copy(update={"service_class": "batch"})
    if not form.title and file.filename:
        form = form.model_copy(update={"title": file.filename[:200]})
    found = read_upload(file.stream, file.filename or "")
    with found.naming_lines():
        submitted = jobs.submit(found.into(form.job()), "csv", most=settings().max_file_prompts)
        return submitted, WESTERN if found.notes else None


def _page(values: Mapping[str, str], error: ArgusError | None = None) -> str:
    picture = picture_of(values)
    with transaction() as session:
        found = levels_out(session, load_family(settings().family))
        return render_template(
            "home.html",
            values=values,
            error=error,
            picture=picture,
            strengths={"image": IMAGE_STRENGTH, "mask": MASK_STRENGTH},
            levels=choices(found),
            modes=found.parallel,
            becomes=CHOICES,
            usual=USUAL,
            jobs=job_list(session, 1, RECENT).jobs,
            slo_s=latency_target_s(session, load_family(settings().family)),
            max_prompts=settings().max_prompts,
            batch_window_s=settings().batch_window_s,
        )
