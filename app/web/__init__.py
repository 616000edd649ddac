"""Pages for people: one file a page. Fragments (`/…/tile`, `/…/head`) are what htmx swaps in while a page is open."""

from app.web import (  # noqa: F401 - they add their routes to `blueprint`
    compare,
    dashboard,
    gallery,
    job,
    models,
    operator,
    preview,
    reference,
    reports,
    requests,
    sign_in,
    submit,
    what_if,
)
from app.web.blueprint import blueprint

__all__ = ["blueprint"]
