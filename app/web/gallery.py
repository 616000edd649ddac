"""`/gallery`: the newest images, or those that fit what is looked for."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import render_template, request

from app.access import needs
from app.records.gallery import nearest_images, newest_images
from app.records.selection import written
from app.schemas.requests import RequestLine
from app.schemas.selection import SearchIn
from app.searching import meaning_of
from app.web.blueprint import blueprint
from app.web.form import validated
from core.database import transaction
from core.errors import ServiceDown, TooOften
from core.keys import Scope
from core.times import read_time

PER_PAGE = 60


@blueprint.get("/gallery")
@needs(Scope.READ)
def gallery() -> str:
    """Images, the newest first, `?before=` goes on where a page ended; with `?like=` those of the nearest prompts."""
    asked = {name: request.args.get(name, "").strip() for name in ("level", "prompt", "like")}
    wanted = validated(SearchIn, {name: value for name, value in asked.items() if value})
    before, failed = _time(request.args.get("before")), None
    try:
        found = _nearest(wanted) if wanted.like else _newest(wanted, before)
    except (ServiceDown, TooOften) as error:
        if not wanted.like:
            raise
        found, failed = [], error
    more = found[PER_PAGE - 1].stored_at if len(found) > PER_PAGE else None
    about: dict[str, Any] = {"said": written(wanted), "first": before is None or wanted.like, "more": more}
    return render_template("gallery.html", requests=found[:PER_PAGE], failed=failed, **about)


def _newest(wanted: SearchIn, before: datetime | None) -> list[RequestLine]:
    with transaction() as session:
        return newest_images(session, wanted, before, PER_PAGE + 1)


def _nearest(wanted: SearchIn) -> list[RequestLine]:
    digest = meaning_of(wanted.like or "")
    with transaction() as session:
        return nearest_images(session, wanted, digest, PER_PAGE)


def _time(text: str | None) -> datetime | None:
    try:
        return read_time(text) if text else None
    except ValueError:
        return None
