"""A job's results, a row a request, read by position: however many they are, few are at hand."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, literal, select
from sqlalchemy.sql.selectable import LateralFromClause

from core.database import transaction
from core.file_names import image_file_name
from core.numbers import json_whole
from core.tables import Image, Request, Score

PAGE = 1000  # requests read at a time
COLUMNS = (
    *("position", "custom_id", "prompt", "seed", "state", "level", "model", "file", "image", "score"),
    *("predicted_quality", "latency_s", "truncated_tokens", "negative_truncated_tokens"),
    *("error_code", "error", "id", "loras", "emphasis"),
)
REMOVED = "its image was removed"


@dataclass(frozen=True)
class Result:
    """A request as its job's files have it, and where its image lies, if it has one."""

    row: dict[str, Any]
    key: str | None

    @property
    def without_image(self) -> dict[str, Any]:
        """The row of one whose file turned out to be gone."""
        return {**self.row, "file": None, "image": None, "error": REMOVED}


def results(job_id: uuid.UUID, images: str, *which: ColumnElement[bool], after: int = -1) -> Iterator[Result]:
    """Each of these requests of a job, in order, behind a position; addresses of images begin with `images`."""
    while True:
        mine = _query().where(Request.job_id == job_id, Request.position > after, *which)
        with transaction() as session:
            found = session.execute(mine.order_by(Request.position).limit(PAGE)).all()
        yield from (_result(row, images) for row in found)
        if len(found) < PAGE:
            return
        after = found[-1].position


def newest(*columns: Any) -> tuple[LateralFromClause, LateralFromClause]:
    """These columns of a request's newest image, its id among them, and the `value` of that image's newest score."""
    image = select(*columns).where(Image.request_id == Request.id).order_by(Image.created_at.desc()).limit(1)
    found = image.lateral("newest")
    score = select(Score.value).where(Score.image_id == found.c.id).order_by(Score.created_at.desc()).limit(1)
    return found, score.lateral()


def _query() -> Select[Any]:
    image, score = newest(Image.id, Image.model, Image.key, Image.missing_at)
    own = (
        *(Request.position, Request.custom_id, Request.prompt, Request.seed, Request.state, Request.level),
        *(Request.predicted_quality, Request.truncated_tokens, Request.negative_truncated_tokens),
        *(Request.loras, Request.emphasis, Request.error_code, Request.error, Request.id),
        *(Request.accepted_at, Request.stored_at),
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
        "latency_s": (row.stored_at - row.accepted_at).total_seconds() if row.stored_at else None,
        "error": row.error or gone,
        "id": str(row.id),
    }
    return Result({name: made[name] for name in COLUMNS}, row.key if there else None)


def as_json_line(row: dict[str, Any]) -> str:
    """An object a line."""
    return json.dumps(row) + "\n"
