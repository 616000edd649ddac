"""`/docs/errors`: what each code of an error means; the `type` of a problem leads here."""

from __future__ import annotations

from flask import render_template

from app.access import public
from app.web.blueprint import blueprint
from core.errors import PAGE, kinds


@blueprint.get(PAGE)
@public
def errors() -> str:
    """Every error with code, status and what to do."""
    return render_template("errors.html", kinds=sorted(kinds(), key=lambda kind: kind.code))
