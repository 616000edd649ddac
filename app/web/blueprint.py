"""The blueprint of the pages, with what every template has at hand."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from flask import Blueprint, render_template, request, session, url_for

from app.access import SESSION_KEY, caller, public
from app.links import root
from app.web import filters
from core.errors import ArgusError
from core.families import load_family
from core.settings import settings

blueprint = Blueprint("web", __name__, template_folder="templates")
PAGES = (
    ("/", "Generate"),
    ("/compare", "Compare"),
    ("/gallery", "Gallery"),
    ("/dashboard", "Dashboard"),
    ("/reports", "Reports"),
    ("/models", "Models"),
    ("/docs", "API"),
)
OPERATOR = ("/settings", "Settings")  # for who may see it
STATIC = Path(__file__).resolve().parents[1] / "static"


@blueprint.get("/docs")
@public
def docs() -> str:
    """The interactive API documentation."""
    return render_template("docs.html")


@blueprint.app_context_processor
def _shared() -> dict[str, Any]:
    return {
        "PAGES": (*PAGES, OPERATOR) if _is_operator() else PAGES,
        "asset": asset,
        "form_key": lambda: uuid.uuid4().hex,
        "family": load_family(settings().family),
        "request_path": lambda: request.path,
        "signed_in": lambda: session.get(SESSION_KEY),
        "root": root,
    }


def _is_operator() -> bool:
    """Whether the caller sees all; nobody who is not known does."""
    try:
        return caller().sees_all
    except ArgusError:
        return False


def asset(name: str) -> str:
    """Address of a static file, new whenever the file is."""
    return url_for("static", filename=name, v=int((STATIC / name).stat().st_mtime))


for _filter in filters.ALL:
    blueprint.add_app_template_filter(_filter)
