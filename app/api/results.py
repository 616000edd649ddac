"""`/v1/jobs/<id>/results`: a job's requests as a file, a row each, in order; the client's own ids are with them."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Iterator
from typing import Any

from apiflask import APIBlueprint, FileSchema
from flask import Response

from app.access import needs
from app.links import external, link
from app.records.jobs import find_job, job_page
from core.database import transaction
from core.keys import Scope

blueprint = APIBlueprint("results", __name__, url_prefix="/v1/jobs", tag="Jobs")
PAGE = 1000  # requests read at a time
COLUMNS = (
    *("position", "custom_id", "prompt", "seed", "state", "level", "image", "score", "predicted_quality"),
    *("latency_s", "truncated_tokens", "negative_truncated_tokens", "error_code", "id"),
)


@blueprint.get("/<uuid:job_id>/results.csv")
@needs(Scope.READ)
@blueprint.output(FileSchema(type="string"), content_type="text/csv", description="A row a request, with a header")
def results_csv(job_id: uuid.UUID) -> Response:
    """Get a job's results as CSV

    A row a request in order: your own id, what was drawn at which level, the address of its image, score.
    """
    return _file(job_id, "csv", _as_csv(_rows(job_id, _images())))


@blueprint.get("/<uuid:job_id>/results.jsonl")
@needs(Scope.READ)
@blueprint.output(FileSchema(type="string"), content_type="application/jsonl", description="An object a line")
def results_jsonl(job_id: uuid.UUID) -> Response:
    """Get a job's results as JSON lines

    The same as an object a line.
    """
    return _file(job_id, "jsonl", (json.dumps(row) + "\n" for row in _rows(job_id, _images())))


def _file(job_id: uuid.UUID, ending: str, text: Iterator[str]) -> Response:
    """A download, written while it is read; raises `NotFound`."""
    with transaction() as session:
        find_job(session, job_id)
    kind = "text/csv; charset=utf-8" if ending == "csv" else "application/jsonl"
    response = Response(text, content_type=kind)
    response.headers["Content-Disposition"] = f'attachment; filename="{job_id}.{ending}"'
    return response


def _images() -> str:
    """What addresses of images begin with; asked while the request is there."""
    return external(link("/v1/images/"))


def _rows(job_id: uuid.UUID, images: str) -> Iterator[dict[str, Any]]:
    """Each request's columns, a page of them at a time."""
    page = 1
    while True:
        with transaction() as session:
            job = job_page(session, job_id, page, PAGE)
        for line in job.requests:
            known = line.model_dump(mode="json")
            image = f"{images}{line.image_id}" if line.image_id else None
            yield {name: image if name == "image" else known[name] for name in COLUMNS}
        if "next" not in job.links:
            return
        page += 1


def _as_csv(lines: Iterator[dict[str, Any]]) -> Iterator[str]:
    sink = io.StringIO()
    rows = csv.writer(sink)
    rows.writerow(COLUMNS)
    for row in lines:
        rows.writerow(row.values())
        yield sink.getvalue()
        sink.seek(0)
        sink.truncate()
    yield sink.getvalue()
