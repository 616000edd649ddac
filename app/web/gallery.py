"""`/gallery`: the newest images, or those that fit what is looked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import render_template, request

from app.access import caller, needs
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
FIELDS = ("level", "prompt", "like", "since", "until", "tenant")


@dataclass(frozen=True)
class Page:
    """Some images, the newest first, and the times between which those of this page were stored where there are newer
    or older ones."""

    images: list[RequestLine]
    newest: datetime | None = None
    oldest: datetime | None = None


@blueprint.get("/gallery")
@needs(Scope.READ)
def gallery() -> str:
    """Images, the newest first, `?before=` and `?after=` go on where a page ended or began; with `?like=` those of the
    nearest prompts."""
    asked = {name: request.args.get(name, "").strip() for name in FIELDS}
    wanted = validated(SearchIn, {name: value for name, value in asked.items() if value})
    before, after, failed = _time(request.args.get("before")), _time(request.args.get("after")), None
    try:
        page = Page(_nearest(wanted)) if wanted.like else _page(wanted, before, after)
    except (ServiceDown, TooOften) as error:
        if not wanted.like:
            raise
        page, failed = Page([]), error
    about = {"said": written(wanted), "failed": failed, "sees_all": caller().sees_all}
    return render_template("gallery.html", page=page, requests=page.images, **about)


def _page(wanted: SearchIn, before: datetime | None, after: datetime | None) -> Page:
    """The images next to a time; what is newer than that and fills no page is the first page."""
    with transaction() as session:
        if after:
            found = newest_images(session, wanted, after=after, limit=PER_PAGE + 1)
            if len(found) > PER_PAGE:
                shown = found[1:]
                return Page(shown, shown[0].stored_at, shown[-1].stored_at)
            before = None
        found = newest_images(session, wanted, before, limit=PER_PAGE + 1)
    shown = found[:PER_PAGE]
    first = shown[0].stored_at if shown else before
    return Page(shown, first if before else None, shown[-1].stored_at if len(found) > PER_PAGE else None)


def _nearest(wanted: SearchIn) -> list[RequestLine]:
    digest = meaning_of(wanted.like or "")
    with transaction() as session:
        return nearest_images(session, wanted, digest, PER_PAGE)


def _time(text: str | None) -> datetime | None:
    try:
        return read_time(text) if text else None
    except ValueError:
        return None
