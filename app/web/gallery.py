"""`/gallery`: the newest images."""

from __future__ import annotations

from datetime import datetime

from flask import render_template, request

from app.access import needs
from app.records import lines
from app.web.blueprint import blueprint
from core.database import transaction
from core.keys import Scope

PER_PAGE = 60


@blueprint.get("/gallery")
@needs(Scope.READ)
def gallery() -> str:
    """Images, the newest first; `?level=` keeps one level, `?before=` goes on where a page ended."""
    level, before = request.args.get("level") or None, _time(request.args.get("before"))
    with transaction() as session:
        found = lines.gallery(session, level, before, PER_PAGE + 1)
    more = found[PER_PAGE - 1].stored_at if len(found) > PER_PAGE else None
    return render_template("gallery.html", requests=found[:PER_PAGE], level=level, first=before is None, more=more)


def _time(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
