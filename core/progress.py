"""How far running requests are, and what they look like on the way: workers write it, the web reads it.

Nothing depends on it. The rows are unlogged, belong to the attempt that runs, and go some seconds after their request
has ended (`forget_ended`), so that who is slower than the drawing still sees the previews. Each write tells the job's
followers on the channel `argus_job`, as the trigger on `request` does of what is queued, ends or is scored.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY, UUID
from sqlalchemy.orm import Session
from sqlalchemy.types import Integer

from core.client_tables import Preview, Progress
from core.database import quick_transaction, transaction

CHANNEL = "argus_job"  # its payload is the id of a job of which there is something new
KEPT_S = 10.0  # after the end of the request
TOLD = f"""
SELECT pg_notify('{CHANNEL}', job_id::text)
FROM (SELECT DISTINCT job_id FROM told JOIN request ON id = request_id) AS jobs
"""

WRITE_STEPS = text(
    f"""
WITH told AS (
    INSERT INTO progress (request_id, step, steps)
    SELECT r.id, t.step, t.steps FROM unnest(:ids, :attempts, :taken, :steps) AS t(id, attempt, step, steps)
    JOIN request r ON r.id = t.id AND r.attempts = t.attempt AND r.state = 'running'
    ON CONFLICT (request_id) DO UPDATE SET step = excluded.step, steps = excluded.steps, updated_at = now()
    RETURNING request_id
) {TOLD}
"""
)
WRITE_PREVIEW = text(
    f"""
WITH told AS (
    INSERT INTO preview (request_id, number, image)
    SELECT id, :number, :image FROM request WHERE id = :id AND attempts = :attempt AND state IN ('running', 'done')
    ON CONFLICT (request_id, number) DO UPDATE SET image = excluded.image, created_at = now()
    RETURNING request_id
) {TOLD}
"""
)
ENDED = """
DELETE FROM {table} WHERE request_id IN (
    SELECT request_id FROM {table} t JOIN request r ON r.id = t.request_id
    WHERE r.state NOT IN ('queued', 'running') AND t.{at} < now() - make_interval(secs => :kept)
)
"""


@dataclass(frozen=True)
class Step:
    """An attempt, by its number, has taken so many of its steps."""

    request_id: uuid.UUID
    attempt: int
    taken: int
    steps: int


def write_steps(steps: Sequence[Step]) -> None:
    """Note how far requests are; those that are no longer that attempt's are passed over."""
    columns: dict[str, tuple[list[Any], Any]] = {
        "ids": ([step.request_id for step in steps], UUID()),
        "attempts": ([step.attempt for step in steps], Integer()),
        "taken": ([step.taken for step in steps], Integer()),
        "steps": ([step.steps for step in steps], Integer()),
    }
    bound = (bindparam(name, values, type_=ARRAY(kind)) for name, (values, kind) in columns.items())
    with quick_transaction() as session:
        session.execute(WRITE_STEPS.bindparams(*bound))


def write_preview(request_id: uuid.UUID, attempt: int, number: int, image: bytes) -> None:
    """Keep a preview (a JPEG file) of a request, unless the request is no longer that attempt's."""
    values = {"id": request_id, "attempt": attempt, "number": number, "image": image}
    with quick_transaction() as session:
        session.execute(WRITE_PREVIEW, values)


def progress_of(session: Session, requests: Sequence[uuid.UUID]) -> dict[uuid.UUID, Progress]:
    """How far these requests are; those that have not begun or are long done have none."""
    found = session.scalars(select(Progress).where(Progress.request_id.in_(requests)))
    return {progress.request_id: progress for progress in found}


def previews_of(session: Session, request_id: uuid.UUID, after: int = -1) -> list[Preview]:
    """The previews of a request whose number is over `after`, in order."""
    mine = (Preview.request_id == request_id, Preview.number > after)
    return list(session.scalars(select(Preview).where(*mine).order_by(Preview.number)))


def newest_preview(session: Session, request_id: uuid.UUID) -> Preview | None:
    """What a request looks like so far."""
    mine = select(Preview).where(Preview.request_id == request_id)
    return session.scalar(mine.order_by(Preview.number.desc()).limit(1))


def forget_ended() -> int:
    """Remove what was told of requests that have ended; returns how many rows."""
    with transaction() as session:
        return sum(
            session.execute(text(ENDED.format(table=table, at=at)), {"kept": KEPT_S}).rowcount  # type: ignore[attr-defined]
            for table, at in (("progress", "updated_at"), ("preview", "created_at"))
        )
