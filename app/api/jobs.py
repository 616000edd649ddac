"""`/v1/jobs`: submit, list, read, cancel."""

from __future__ import annotations

import uuid
from typing import Any

from apiflask import APIBlueprint
from flask import current_app, jsonify, request

from app import jobs, moves
from app.access import needs, submits
from app.links import link
from app.preference import wait_as_preferred
from app.records.jobs import job_links, job_list, job_page
from app.records.jobs import read_job as read
from app.schemas.jobs import Accepted, AcceptedRequest, JobList, JobOut, JobPage, JobPageIn, PageIn, PurgeIn
from app.schemas.selection import MoveIn
from app.schemas.submission import JobIn, SubmitIn, UploadIn, WaitIn
from app.security import refuse_all_but_json
from app.uploads import read_upload
from core.database import transaction
from core.keys import Scope
from core.settings import settings
from core.tables import Request

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
DONE = {
    "description": "Done, within the seconds that `Prefer: wait` says: the job",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/JobPage"}}},
}
REFUSALS: dict[int, Any] = {
    400: "Not JSON, or a field that cannot be",
    409: "The first submission with this `Idempotency-Key` is still under way",
    413: "Too many prompts",
    422: "A value out of range",
    429: "Too often, or too much waits: `Retry-After` says when there is room",
}


@blueprint.before_request
def only_json() -> None:
    """What is submitted is JSON, but for files."""
    if request.endpoint == "jobs.submit_job":
        refuse_all_but_json()


@blueprint.post("")
@submits
@blueprint.input(JobIn, arg_name="job", examples=EXAMPLES)
@blueprint.input(SubmitIn, location="headers", arg_name="headers")
@blueprint.output(Accepted, 202, description="Accepted: the rows are committed")
@blueprint.doc(responses={200: DONE, **REFUSALS})
def submit_job(job: JobIn, headers: SubmitIn) -> Any:
    """Submit prompts

    One prompt or many, in one job that is taken whole or not at all. Answers at once with ids and links; with
    `Prefer: wait=N` when all is done, and then with the job.
    """
    return _accepted(jobs.submit(job, "api"))


@blueprint.post("/csv")
@submits
@blueprint.input(UploadIn, location="form_and_files", arg_name="upload")
@blueprint.input(SubmitIn, location="headers", arg_name="headers")
@blueprint.output(Accepted, 202, description="Accepted: the rows are committed")
@blueprint.doc(responses={200: DONE, **REFUSALS})
def upload_job(upload: UploadIn, headers: SubmitIn) -> Any:
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
@blueprint.input(WaitIn, location="headers", arg_name="headers")
@blueprint.output(JobPage)
def read_job(job_id: uuid.UUID, where: JobPageIn, headers: WaitIn) -> Any:
    """Read a job

    State, counts, and one page of its requests, or of those that are selected, in order; `links.next` is the next
    page. With `Prefer: wait=N` once all is done.
    """
    waited = wait_as_preferred(Request.job_id == job_id)
    with transaction() as session:
        return job_page(session, job_id, where.page, where.per_page, where), 200, waited.headers


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


def _accepted(submitted: jobs.Submitted, ignored: list[str] | None = None, notes: list[str] | None = None) -> Any:
    """What a submission is answered: that it was accepted, or the job if it was waited for and is done."""
    job = submitted.job
    links = job_links(job.id)
    waited = wait_as_preferred(Request.job_id == job.id)
    headers = {"Location": links["self"], **waited.headers}
    if waited.done:
        with transaction() as session:
            found = job_page(session, job.id, 1, PageIn().per_page)
        answer = jsonify(found.model_dump(mode="json"))
        answer.headers.update(headers)
        return answer
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
    return body, 202, headers
