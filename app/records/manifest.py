"""A job's results, a row a request, read by position: however many they are, few are at hand."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, literal, select

from app.records.lines import newest, seconds_between
from app.records.selection import conditions
from app.schemas.base import json_whole
from app.schemas.selection import Selection
from core.database import transaction
from core.file_names import image_file_name
from core.tables import Image, Request

PAGE = 1000  # requests read at a time
COLUMNS = (
    *("position", "custom_id", "prompt", "seed", "state", "level", "model", "file", "image", "score"),
    *(
        "predicted_quality",
        "latency_s",
        "truncated_tokens",
        "negative_truncated_tokens",
        "error_code",
        "error",
        "id",
        "loras",
    ),
)
REMOVED = "its image was removed"


@dataclass(frozen=True)
class Result:
    """A request as its job's files have it, and where its image lies, if it has one."""

    row: dict[str, Any]
    key: str | None


def results(job_id: uuid.UUID, selection: Selection, images: str) -> Iterator[Result]:
    """Each request of a job that is selected, in order; addresses of images begin with `images`."""
    after = -1
    while True:
        mine = _query().where(Request.job_id == job_id, Request.position > after, *conditions(selection))
        with transaction() as session:
            found = session.execute(mine.order_by(Request.position).limit(PAGE)).all()
        yield from (_result(row, images) for row in found)
        if len(found) < PAGE:
            return
        after = found[-1].position


def _query() -> Select[Any]:
    image, score = newest(Image.id, Image.model, Image.key, Image.missing_at)
    own = (
        *(Request.position, Request.custom_id, Request.prompt, Request.seed, Request.state, Request.level),
        *(Request.predicted_quality, Request.truncated_tokens, Request.negative_truncated_tokens),
        *(Request.loras, Request.error_code, Request.error, Request.id, Request.accepted_at, Request.stored_at),
    )
    drawn = (image.c.id.label("image_id"), image.c.model, image.c.key, image.c.missing_at)
    joined: Any = select(*own, *drawn, score.c.value.label("score")).select_from(Request)
    query: Select[Any] = joined.outerjoin(image, literal(True)).outerjoin(score, literal(True))
    return query


def _result(row: Row[Any], images: str) -> Result:
    there = row.image_id is not None and row.missing_at is None
    gone = REMOVED if row.stored_at and not there else None
    name = image_file_name(row.position, row.custom_id, row.prompt, row.seed)
    made = {
        **row._asdict(),
        "seed": json_whole(row.seed),
        "file": name if there else None,
        "image": f"{images}{row.image_id}" if there else None,
        "latency_s": seconds_between(row.accepted_at, row.stored_at),
        "error": row.error or gone,
        "id": str(row.id),
    }
    return Result({name: made[name] for name in COLUMNS}, row.key if there else None)


def as_json_line(row: dict[str, Any]) -> str:
    """An object a line."""
    return json.dumps(row) + "\n"
