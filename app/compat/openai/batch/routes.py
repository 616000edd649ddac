"""`/v1/files` and `/v1/batches`."""

from __future__ import annotations

import itertools
from typing import Any, TypeVar

from apiflask import FileSchema
from flask import Response, request, stream_with_context
from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from app.access import needs, owned, submits
from app.compat.conventions import error_responses
from app.compat.openai.batch import files, results, states
from app.compat.openai.batch.keeper import KEEPER
from app.compat.openai.batch.schemas import (
    TIMES,
    BatchesIn,
    BatchesOut,
    BatchIn,
    BatchOut,
    BatchProblem,
    BatchProblems,
    FileDeleted,
    FileIn,
    FileOut,
    FilesIn,
    FilesOut,
    RequestCounts,
    seconds,
)
from app.compat.openai.blueprint import blueprint, forms
from app.compat.openai.schemas import ERROR_BODY
from app.schemas.submission import KeyIn
from core.batch_tables import Batch, StoredFile
from core.database import transaction
from core.errors import NotFound
from core.keys import Scope
from core.settings import settings

NO_FILE = error_responses(ERROR_BODY, {404: "No such file"})
TOO_OFTEN = error_responses(ERROR_BODY, {429: "More than ARGUS_RATE_LIMIT"})
NO_BATCH = error_responses(ERROR_BODY, {404: "No such batch"})
Row = TypeVar("Row", StoredFile, Batch)


@forms.before_request
def _allow_large() -> None:
    """A file may be larger than other bodies; it is in a temporary file, never in memory."""
    if request.endpoint == "openai_forms.upload_file":
        request.max_content_length = settings().max_file_mb * 1024 * 1024


@forms.post("/files")
@needs(Scope.SUBMIT)
@forms.input(FileIn, location="form_and_files", arg_name="sent")
@forms.input(KeyIn, location="headers", arg_name="key")
@forms.output(FileOut)
def upload_file(sent: FileIn, key: KeyIn) -> FileOut:
    """Upload a file of calls

    For a batch: JSON lines, up to 50,000 of them and ARGUS_MAX_FILE_MB megabytes.
    """
    name, after = (sent.file.filename or "file").replace("\0", ""), sent.expires_after
    with transaction() as session:
        file = files.upload(session, sent.file.stream, name, after.seconds if after else None)
        session.flush()
        session.refresh(file)
        return _file_out(file)


@blueprint.get("/files")
@needs(Scope.READ)
@blueprint.input(FilesIn, location="query", arg_name="where")
@blueprint.output(FilesOut)
@blueprint.doc(responses=NO_FILE)
def list_files(where: FilesIn) -> FilesOut:
    """List files

    Uploaded ones and those of results.
    """
    with transaction() as session:
        after = files.find_file(session, where.after, "after") if where.after else None
        query = owned(select(StoredFile).where(files.unexpired()))
        if where.purpose:
            query = query.where(StoredFile.purpose == where.purpose)
        rows, more = _page(session, query, StoredFile, after, where.limit, where.order == "asc")
        found = [_file_out(row) for row in rows]
    return FilesOut(data=found, first_id=_first(found), last_id=_last(found), has_more=more)


@blueprint.get("/files/<file_id>")
@needs(Scope.READ)
@blueprint.output(FileOut)
@blueprint.doc(responses=NO_FILE)
def read_file(file_id: str) -> FileOut:
    """Read what a file is

    Its name, size and purpose.
    """
    with transaction() as session:
        return _file_out(files.find_file(session, file_id))


@blueprint.get("/files/<file_id>/content")
@needs(Scope.READ)
@blueprint.output(FileSchema(type="string"), content_type="application/octet-stream", description="The file")
@blueprint.doc(responses=NO_FILE)
def read_content(file_id: str) -> Response:
    """Read a file

    Results are made from what is stored, line by line, as they are read.
    """
    with transaction() as session:
        file = files.find_file(session, file_id)
        batch = session.get(Batch, file.batch_id) if file.batch_id else None
    if file.batch_id and batch is None:
        raise NotFound(f"The batch of file {file_id!r} was removed.", field="file_id")
    made = results.content(batch, errors=file.id == batch.error_file_id) if batch else _uploaded(file)
    return Response(stream_with_context(made), mimetype="application/octet-stream")


@blueprint.delete("/files/<file_id>")
@needs(Scope.SUBMIT)
@blueprint.output(FileDeleted)
@blueprint.doc(responses={**NO_FILE, **error_responses(ERROR_BODY, {409: "A batch is being read from it"})})
def delete_file(file_id: str) -> FileDeleted:
    """Delete a file

    Of results the file goes, not the images.
    """
    with transaction() as session:
        files.remove(session, files.find_file(session, file_id))
    return FileDeleted(id=file_id)


@blueprint.post("/batches")
@submits
@blueprint.input(BatchIn, arg_name="wanted")
@blueprint.input(KeyIn, location="headers", arg_name="key")
@blueprint.output(BatchOut)
@blueprint.doc(responses={**NO_FILE, **TOO_OFTEN})
def create_batch(wanted: BatchIn, key: KeyIn) -> BatchOut:
    """Create a batch

    Its lines become one job of batch work, which fills what interactive work leaves free.
    """
    with transaction() as session:
        batch = states.create(session, wanted.input_file_id, wanted.metadata)
        batch.output_expires_s = wanted.output_expires_after.seconds if wanted.output_expires_after else None
        made = _batch_out(session, batch)
    KEEPER.wake()
    return made


@blueprint.get("/batches")
@needs(Scope.READ)
@blueprint.input(BatchesIn, location="query", arg_name="where")
@blueprint.output(BatchesOut)
@blueprint.doc(responses=NO_BATCH)
def list_batches(where: BatchesIn) -> BatchesOut:
    """List batches, newest first

    In pages, as they stand.
    """
    with transaction() as session:
        after = states.find_batch(session, where.after) if where.after else None
        rows, more = _page(session, owned(select(Batch)), Batch, after, where.limit, False)
        found = [_batch_out(session, row) for row in rows]
    return BatchesOut(data=found, first_id=_first(found), last_id=_last(found), has_more=more)


@blueprint.get("/batches/<batch_id>")
@needs(Scope.READ)
@blueprint.output(BatchOut)
@blueprint.doc(responses=NO_BATCH)
def read_batch(batch_id: str) -> BatchOut:
    """Read a batch

    `request_counts` are of lines. `argus status` and the job of the same title show its images.
    """
    with transaction() as session:
        batch = states.find_batch(session, batch_id)
        if batch.status in states.OPEN:
            session.refresh(batch, with_for_update=True)
            states.settle(session, batch)
        return _batch_out(session, batch)


@forms.post("/batches/<batch_id>/cancel")
@needs(Scope.SUBMIT)
@forms.output(BatchOut)
@forms.doc(responses=NO_BATCH)
def cancel_batch(batch_id: str) -> BatchOut:
    """Cancel a batch

    What is drawn stays, and is in its files. One that has ended stays as it is.
    """
    with transaction() as session:
        batch = states.find_batch(session, batch_id)
        session.refresh(batch, with_for_update=True)
        states.cancel(session, batch)
        cancelled = _batch_out(session, batch)
    KEEPER.wake()
    return cancelled


def _uploaded(file: StoredFile) -> Any:
    """The pieces of an uploaded file, each read in a transaction of its own."""
    for number in itertools.count():
        with transaction() as session:
            piece = next(files.pieces(session, file.id, number), None)
        if piece is None:
            return
        yield piece


def _page(
    session: Session, query: Any, table: type[Row], after: Row | None, limit: int, ascending: bool
) -> tuple[list[Row], bool]:
    """So many rows behind one, by the time they were made, and whether there are more."""
    key = tuple_(table.created_at, table.id)
    if after is not None:
        place = tuple_(after.created_at, after.id)
        query = query.where(key > place if ascending else key < place)
    order = (table.created_at, table.id) if ascending else (table.created_at.desc(), table.id.desc())
    rows = list(session.scalars(query.order_by(*order).limit(limit + 1)))
    return rows[:limit], len(rows) > limit


def _first(found: list[Any]) -> str | None:
    return found[0].id if found else None


def _last(found: list[Any]) -> str | None:
    return found[-1].id if found else None


def _file_out(file: StoredFile) -> FileOut:
    name, made = f"{files.PREFIX}{file.id.hex}", int(file.created_at.timestamp())
    purpose: Any = file.purpose
    about: dict[str, Any] = {"filename": file.filename, "bytes": file.bytes, "expires_at": seconds(file.expires_at)}
    return FileOut(id=name, created_at=made, purpose=purpose, **about)


def _batch_out(session: Session, batch: Batch) -> BatchOut:
    completed, failed = states.counts(session, batch)
    input_file, output, errors = (
        f"{files.PREFIX}{each.hex}" if each else None
        for each in (batch.input_file_id, batch.output_file_id, batch.error_file_id)
    )
    status: Any = batch.status
    times: dict[str, Any] = {name: seconds(getattr(batch, name)) for name in TIMES}
    problems = [BatchProblem(**each) for each in batch.errors or []]
    return BatchOut(
        id=f"{states.PREFIX}{batch.id.hex}",
        errors=BatchProblems(data=problems) if problems else None,
        input_file_id=str(input_file),
        output_file_id=output,
        error_file_id=errors,
        status=status,
        request_counts=RequestCounts(total=batch.total, completed=completed, failed=failed),
        metadata=batch.labels,
        **times,
    )
