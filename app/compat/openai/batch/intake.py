"""The lines of a batch into requests of its job, some hundred a transaction with the place up to which it has read.

So a web process that ends in between loses nothing and doubles nothing, whoever reads on. As many are read as may be
accepted now; those behind them wait for room, or for the next day.
"""

from __future__ import annotations

import uuid
from itertools import islice
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from app.backlog import BACKLOG
from app.compat.openai.batch.calls import refusal, rows_for
from app.compat.openai.batch.files import Line, lines
from app.compat.openai.batch.states import IN_PROGRESS, VALIDATING, settle, validate
from app.compat.openai.batch.validation import call_on
from app.quota import take_quota
from core.batch_tables import Batch, BatchLine
from core.database import transaction
from core.errors import ArgusError, TooLarge, TooMuchWaiting, TooOften
from core.families import Family, load_family
from core.publishing import publish_jobs
from core.requests import new_requests
from core.settings import settings
from core.tables import Job

CHUNK = 500  # lines
Told = dict[str, Any]  # as JSON has it
Rows = list[dict[str, Any]]


def move_on(batch_id: uuid.UUID) -> bool:
    """Take a batch a step further, unless somebody else is just doing so; whether another step may be taken at once."""
    with transaction() as session:
        one = select(Batch).where(Batch.id == batch_id).with_for_update(skip_locked=True)
        batch = session.scalar(one)
        if batch is None:
            return False
        unread, new = batch.status == IN_PROGRESS and batch.lines_read < batch.total, batch.status == VALIDATING
        if new and _has_time(session, batch):
            validate(session, batch)
        elif unread and _has_time(session, batch):
            try:
                _read(session, batch)
            except TooMuchWaiting:
                return False
        else:
            settle(session, batch)
        job, more = batch.job_id, batch.status == IN_PROGRESS and (unread or new)
    if unread and job is not None:
        publish_jobs([job])
    return more


def _has_time(session: Session, batch: Batch) -> bool:
    return batch.expires_at > session.execute(select(func.now())).scalar_one()


def _read(session: Session, batch: Batch) -> None:
    """The next lines, as far as there is room for their requests; raises `TooMuchWaiting` where there is for none."""
    job = session.get_one(Job, batch.job_id)
    family, first = load_family(settings().family), job.size
    following = islice(lines(session, batch.input_file_id, batch.bytes_read), CHUNK)
    rows, kept, end = Rows(), Rows(), batch.bytes_read
    for line, call, asked, wrong in [(line, *_read_line(line, family)) for line in following]:
        try:
            made, error = _admitted(session, batch, asked, wrong)
        except TooOften:
            break
        kept.append({"batch_id": batch.id, "number": batch.lines_read + len(kept) + 1, "body": call["body"],
                     "custom_id": call["custom_id"], "first": first + len(rows), "images": len(made),
                     "error": error})  # fmt: skip
        rows += [
            {**row, "id": uuid.uuid4(), "position": first + len(rows) + place, "custom_id": call["custom_id"]}
            for place, row in enumerate(made)
        ]
        end = line.end
    if not kept:
        raise TooMuchWaiting("Not even the next line may be accepted now.")
    if rows:
        new_requests(session, job, rows, batch.expires_at)
    session.execute(insert(BatchLine), kept)
    session.execute(update(Job).where(Job.id == job.id).values(size=first + len(rows)))
    batch.lines_read, batch.bytes_read = batch.lines_read + len(kept), end


def _admitted(session: Session, batch: Batch, asked: Rows, wrong: Told | None) -> tuple[Rows, Told | None]:
    """A line's requests, counted as accepted, and what is wrong with it, as that it asks for more than may ever be;
    raises `TooOften` where they may not be now."""
    if not asked:
        return asked, wrong
    try:
        BACKLOG.admit(session, batch.client, len(asked))
        take_quota(session, batch.tenant, len(asked))
    except TooLarge as never:
        return [], refusal(never)
    return asked, wrong


def _read_line(line: Line, family: Family) -> tuple[Told, Rows, Told | None]:
    """A line's call, the rows that it asks for, and what is wrong with it."""
    call = call_on(line.text) or {"custom_id": "", "body": {}}
    try:
        return call, rows_for(call["body"], family), None
    except ArgusError as error:
        call["body"] = {}
        return call, [], refusal(error)
