"""The files of a batch's results, made from its rows when they are read: nothing is lost, nothing is there twice."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.compat.drawing import Drawing, drawing_of
from app.compat.openai.batch.calls import answer_to, refusal
from app.compat.openai.batch.files import lines
from app.compat.openai.batch.states import EXPIRED
from app.compat.openai.batch.validation import call_on
from app.records.requests import requests_out
from app.schemas.requests import RequestOut
from core.batch_tables import Batch, BatchLine
from core.database import transaction
from core.errors import ArgusError, Cancelled, NotFound
from core.families import Family, load_family
from core.settings import settings
from core.tables import Request

CHUNK = 50  # lines of a transaction
NOT_RUN = {
    EXPIRED: {"code": "batch_expired", "message": "It could not be drawn before the batch's window was over."},
    "": {"code": "batch_cancelled", "message": "The batch was cancelled before it was drawn."},
}


def content(batch: Batch, errors: bool) -> Iterator[str]:
    """The file of answers, or of errors, line by line; within an HTTP request, for links.

    Rows are read some dozens at a time, pictures one by one, and no transaction is open while a line is on its way.
    """
    family, number = load_family(settings().family), 0
    while True:
        with transaction() as session:
            found = [(line, _drawn(session, line, made)) for line, made in _lines_after(session, batch.id, number)]
        for line, drawn in found:
            answer = _told(batch, line, drawn, family)
            number = line.number
            is_answer = answer["response"] is not None and answer["response"]["status_code"] == 200
            if is_answer != errors:
                yield json.dumps(answer, ensure_ascii=False) + "\n"
        if not found:
            break
    if errors:
        yield from _unread(batch)


def _lines_after(
    session: Session, batch_id: uuid.UUID, number: int
) -> list[tuple[BatchLine, Sequence[RequestOut | None]]]:
    """The next lines with their requests; None for one that was removed."""
    mine = select(BatchLine).where(BatchLine.batch_id == batch_id, BatchLine.number > number)
    found = list(session.scalars(mine.order_by(BatchLine.number).limit(CHUNK)))
    if not found:
        return []
    job = session.get_one(Batch, batch_id).job_id
    places = (Request.position >= found[0].first, Request.position < found[-1].first + found[-1].images)
    known = {request.position: request for request in requests_out(session, Request.job_id == job, *places)}
    return [(line, [known.get(line.first + place) for place in range(line.images)]) for line in found]


def _drawn(session: Session, line: BatchLine, requests: Sequence[RequestOut | None]) -> list[Drawing] | ArgusError:
    """What a line's requests have made, or why that is not all."""
    made: list[Drawing] = []
    for request in requests:
        if request is None:
            return NotFound("The image was removed.")
        try:
            made.append(drawing_of(session, request))
        except ArgusError as error:
            return error
    return made


def _told(batch: Batch, line: BatchLine, drawn: list[Drawing] | ArgusError, family: Family) -> dict[str, Any]:
    """A line of a file of results."""
    if line.error is not None:
        return _line(batch, line.number, line.custom_id, line.error)
    if isinstance(drawn, Cancelled):
        return _line(batch, line.number, line.custom_id, None, NOT_RUN.get(batch.status, NOT_RUN[""]))
    if isinstance(drawn, ArgusError):
        return _line(batch, line.number, line.custom_id, refusal(drawn))
    try:
        answer = {"status_code": 200, "body": answer_to(line.body, drawn, family)}
    except ArgusError as error:  # a file that is gone, or damaged
        answer = refusal(error)
    return _line(batch, line.number, line.custom_id, answer)


def _unread(batch: Batch) -> Iterator[str]:
    """Lines that were never read: the batch was cancelled, or its window was over. Not once their file is removed."""
    why, number = NOT_RUN.get(batch.status, NOT_RUN[""]), batch.lines_read
    if number >= batch.total:
        return
    with transaction() as session:
        for line in lines(session, batch.input_file_id, batch.bytes_read):
            number += 1
            call = call_on(line.text) or {}
            yield json.dumps(_line(batch, number, str(call.get("custom_id")), None, why), ensure_ascii=False) + "\n"


def _line(
    batch: Batch, number: int, custom_id: str, response: dict[str, Any] | None, error: dict[str, str] | None = None
) -> dict[str, Any]:
    name = f"batch_req_{uuid.uuid5(batch.id, str(number)).hex}"
    if response is not None:
        response = {"status_code": response["status_code"], "request_id": name, "body": response["body"]}
    return {"id": name, "custom_id": custom_id, "response": response, "error": error}
