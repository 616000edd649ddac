"""A selection of requests as conditions of a query, and the list of what it selects."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, cast, literal, tuple_
from sqlalchemy.dialects.postgresql import INT4MULTIRANGE
from sqlalchemy.orm import Session

from app.links import link
from app.records.lines import line_of, lines
from app.schemas.requests import RequestList
from app.schemas.selection import ListIn, Selection
from core.errors import BadInput
from core.own_work import FROM_USERS
from core.tables import Request
from core.times import read_time


def conditions(selection: Selection) -> list[ColumnElement[bool]]:
    """What a `Request` that is selected fulfils."""
    given = (
        (selection.ids, lambda ids: Request.id.in_(ids)),
        (selection.positions, lambda places: _at(places)),
        (selection.state, lambda states: Request.state.in_(states)),
        (selection.level, lambda levels: Request.level.in_(levels)),
        (selection.service_class, lambda name: Request.service_class == name),
        (selection.tenant, lambda name: Request.tenant == name),
        (selection.since, lambda time: Request.accepted_at >= time),
        (selection.until, lambda time: Request.accepted_at < time),
        (selection.prompt, lambda text: Request.prompt.icontains(text, autoescape=True)),
    )
    return [condition(value) for value, condition in given if value is not None]


def _at(places: Sequence[str]) -> ColumnElement[bool]:
    """At one of these places, each `7` or `7-9`; what ends before it begins is none."""
    ends = [place.partition("-") for place in places]
    spans = [(int(first), int(last or first)) for first, _, last in ends]
    written = ",".join(f"[{first},{last}]" for first, last in spans if first <= last)
    return Request.position.bool_op("<@")(cast(literal(f"{{{written}}}"), INT4MULTIRANGE))


def request_list(session: Session, wanted: ListIn) -> RequestList:
    """Requests that somebody sent and that are selected, the newest first; raises `BadInput` for a place that is none.

    It goes on where the list before ended, however many come meanwhile.
    """
    query, place = lines().where(FROM_USERS, *conditions(wanted)), (Request.accepted_at, Request.id)
    if wanted.after:
        query = query.where(tuple_(*place) < tuple_(*(literal(value) for value in _read_place(wanted.after))))
    query = query.order_by(*(column.desc() for column in place)).limit(wanted.limit + 1)
    rows = session.execute(query).all()
    shown, links = rows[: wanted.limit], {}
    if len(rows) > len(shown):
        last = shown[-1][0]
        said = written(wanted) | {"after": f"{last.accepted_at.isoformat()}~{last.id}"}
        links["next"] = link(f"/v1/requests?{urlencode(said)}")
    return RequestList(requests=[line_of(*row) for row in shown], links=links)


def _read_place(text: str) -> tuple[datetime, uuid.UUID]:
    at, _, request = text.partition("~")
    try:
        return read_time(at), uuid.UUID(request)
    except ValueError:
        raise BadInput("That is no place in this list: take it from `links.next`.", field="after") from None


def written(selection: Selection) -> dict[str, str]:
    """What a selection says, as the values of a query."""
    said = selection.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    return {name: ",".join(map(str, value)) if isinstance(value, list) else str(value) for name, value in said.items()}
