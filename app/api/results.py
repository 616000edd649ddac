"""`/v1/jobs/<id>/results`: a job's requests as a file, a row each, in order, or with their images as an archive."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from itertools import chain

from apiflask import APIBlueprint, FileSchema
from flask import Response

from app.access import needs
from app.archives import archive
from app.links import external, link
from app.records.jobs import find_job
from app.records.selection import conditions
from app.schemas.selection import Selection
from core.csv_cells import as_csv
from core.database import transaction
from core.keys import Scope
from core.results import COLUMNS, Result, as_json_line, results

blueprint = APIBlueprint("results", __name__, url_prefix="/v1/jobs", tag="Jobs")
BINARY = FileSchema(type="string", format="binary")
KINDS = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/jsonl",
    "zip": "application/zip",
    "tar": "application/x-tar",
}


@blueprint.get("/<uuid:job_id>/results.csv")
@needs(Scope.READ)
@blueprint.input(Selection, location="query", arg_name="selection")
@blueprint.output(FileSchema(type="string"), content_type="text/csv", description="A row a request, with a header")
def results_csv(job_id: uuid.UUID, selection: Selection) -> Response:
    """Get a job's results as CSV

    A row a request in order: your own id, what was drawn at which level by which model, the name and address of its
    image, its score, or why there is none. A text that begins as a formula does has an apostrophe before it.
    """
    rows = (as_csv(*result.row.values()) for result in _found(job_id, selection))
    return _file(job_id, "csv", chain([as_csv(*COLUMNS)], rows))


@blueprint.get("/<uuid:job_id>/results.jsonl")
@needs(Scope.READ)
@blueprint.input(Selection, location="query", arg_name="selection")
@blueprint.output(FileSchema(type="string"), content_type="application/jsonl", description="An object a line")
def results_jsonl(job_id: uuid.UUID, selection: Selection) -> Response:
    """Get a job's results as JSON lines

    The same as an object a line, texts as they are.
    """
    return _file(job_id, "jsonl", (as_json_line(result.row) for result in _found(job_id, selection)))


@blueprint.get("/<uuid:job_id>/results.zip")
@needs(Scope.READ)
@blueprint.input(Selection, location="query", arg_name="selection")
@blueprint.output(BINARY, content_type="application/zip", description="The archive, as it is written")
def results_zip(job_id: uuid.UUID, selection: Selection) -> Response:
    """Get a job's images as a ZIP

    Each image by its place and your own id, and at the end `manifest.csv` and `manifest.jsonl`, with what was removed
    too.
    """
    return _file(job_id, "zip", archive("zip", _found(job_id, selection)))


@blueprint.get("/<uuid:job_id>/results.tar")
@needs(Scope.READ)
@blueprint.input(Selection, location="query", arg_name="selection")
@blueprint.output(BINARY, content_type="application/x-tar", description="The archive, as it is written")
def results_tar(job_id: uuid.UUID, selection: Selection) -> Response:
    """Get a job's images as a tar

    The same, for programs that unpack while they read: `curl … | tar x`.
    """
    return _file(job_id, "tar", archive("tar", _found(job_id, selection)))


def _found(job_id: uuid.UUID, selection: Selection) -> Iterator[Result]:
    """The results that are selected; raises `NotFound` at once."""
    with transaction() as session:
        find_job(session, job_id)
    return results(job_id, external(link("/v1/images/")), *conditions(selection))


def _file(job_id: uuid.UUID, ending: str, pieces: Iterator[str] | Iterator[bytes]) -> Response:
    """A download, written while it is read."""
    response = Response(pieces, content_type=KINDS[ending])
    response.headers["Content-Disposition"] = f'attachment; filename="{job_id}.{ending}"'
    return response
