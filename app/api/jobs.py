"""`/v1/jobs`: submit, list, read, cancel."""

from __future__ import annotations

import uuid
from typing import Any

from apiflask import APIBlueprint
from flask import current_app, request

from app import jobs, moves
from app.access import needs
from app.links import link
from app.records.jobs import job_links, job_list, job_page
from app.records.jobs import read_job as read
from app.schemas.jobs import Accepted, AcceptedRequest, JobList, JobOut, JobPage, JobPageIn, PageIn, PurgeIn
from app.schemas.selection import MoveIn
from app.schemas.submission import JobIn, KeyIn, UploadIn
from app.uploads import read_upload
from core.database import transaction
from core.errors import WrongMediaType
from core.keys import Scope
from core.settings import settings

blueprint = APIBlueprint("jobs", __name__, url_prefix="/v1/jobs", tag="Jobs")
EXAMPLES = {
    "one prompt": {"value": {"prompt": "a red apple on a table"}},
    "many": {
        "value": {
            "title": "fruit and birds",
            "prompts": ["a red apple", {"prompt": "a blue bird", "seed": 7, "level": "exact"}],
            "n": 2,
            "min_quality": 0.9,
        }
    },
    "batch work": {"value": {"prompts": ["a red apple", "a green pear"], "service_class": "batch"}},
}
REFUSALS = {
    400: "Not JSON, or a field that cannot be",
    409: "The first submission with this `Idempotency-Key` is still under way",
    413: "Too many prompts",
    422: "A value out of range",
    429: "Too often, or too much waits: `Retry-After` says when there is room",
}


def _only_json() -> None:
    """A page of another site can post plain text without being asked, but not JSON."""
    if request.endpoint == "jobs.submit_job" and request.mimetype != "application/json":
        raise WrongMediaType("Send JSON with `Content-Type: application/json`.")


blueprint.before_request(_only_json)


@blueprint.post("")
@needs(Scope.SUBMIT)
@blueprint.input(JobIn, arg_name="job", examples=EXAMPLES)
@blueprint.input(KeyIn, location="headers", arg_name="key")
@blueprint.output(Accepted, 202, description="Accepted: the rows are committed")
@blueprint.doc(responses=REFUSALS)
def submit_job(job: JobIn, key: KeyIn) -> Any:
    """Submit prompts

    One prompt or many, in one job that is taken whole or not at all. Answers at once with ids and links.
    """
    return _accepted(jobs.submit(job, "api"))


@blueprint.post("/csv")
@needs(Scope.SUBMIT)
@blueprint.input(UploadIn, location="form_and_files", arg_name="upload")
@blueprint.input(KeyIn, location="headers", arg_name="key")
@blueprint.output(Accepted, 202, description="Accepted: the rows are committed")
@blueprint.doc(responses=REFUSALS)
def upload_job(upload: UploadIn, key: KeyIn) -> Any:
    """Submit a file of prompts

    A table (CSV, or .xlsx) with a header: the column `prompt`, and as wanted `custom_id`, `negative_prompt`, `seed`,
    `width`, `height`, `steps`, `guidance`, `level`, `min_quality`, `literal`; other columns are ignored and named in
    the answer. Or JSON lines (`.jsonl`), a JSON list (`.json`), text with a prompt a line (`.txt`).
    """
    found = read_upload(upload.file.stream, upload.file.filename or "")
    with found.naming_lines():
        submitted = jobs.submit(found.into(upload.job()), "csv", most=settings().max_file_prompts)
    return _accepted(submitted, found.ignored, found.notes)


@blueprint.get("")
@needs(Scope.READ)
@blueprint.input(PageIn, location="query", arg_name="where")
@blueprint.output(JobList)
def list_jobs(where: PageIn) -> Any:
    """List jobs, newest first

    Jobs with the counts of their requests by state.
    """
    with transaction() as session:
        return job_list(session, where.page, where.per_page)


@blueprint.get("/<uuid:job_id>")
@needs(Scope.READ)
@blueprint.input(JobPageIn, location="query", arg_name="where")
@blueprint.output(JobPage)
def read_job(job_id: uuid.UUID, where: JobPageIn) -> Any:
    """Read a job

    State, counts, and one page of its requests, or of those that are selected, in order; `links.next` is the next
    page.
    """
    with transaction() as session:
        return job_page(session, job_id, where.page, where.per_page, where)


@blueprint.delete("/<uuid:job_id>")
@needs(Scope.SUBMIT)
@blueprint.input(PurgeIn, location="query", arg_name="how")
@blueprint.output(JobOut, 200, description="Cancelled; the job as it stands now")
@blueprint.doc(responses={204: "Removed (`purge=true`)"})
def delete_job(job_id: uuid.UUID, how: PurgeIn) -> Any:
    """Cancel a job, or remove it

    Cancels what is open: waiting requests at once, running ones at their next denoising step. Images that exist stay,
    and a second call changes nothing. `purge=true` also removes rows and image files.
    """
    moves.move("cancel", MoveIn(), job_id)
    if how.purge:
        jobs.purge(job_id)
        return current_app.response_class(status=204)
    with transaction() as session:
        return read(session, job_id)


def _accepted(
    submitted: jobs.Submitted, ignored: list[str] | None = None, notes: list[str] | None = None
) -> tuple[Accepted, int, dict[str, str]]:
    job = submitted.job
    links = job_links(job.id)
    lines = [AcceptedRequest(**row._asdict(), link=link(f"/v1/requests/{row.id}")) for row in submitted.requests]
    body = Accepted(
        id=job.id,
        size=job.size,
        family=job.family,
        service_class=job.service_class,
        accepted_at=submitted.accepted_at,
        deadline_at=submitted.deadline_at,
        published=submitted.published,
        ignored_columns=ignored or [],
        notes=notes or [],
        links=links,
        requests=lines,
    )
    return body, 202, {"Location": links["self"]}
