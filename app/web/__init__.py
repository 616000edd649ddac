"""Pages for people: one file a page. Fragments (`/…/tile`, `/…/head`) are what htmx swaps in while a page is open."""

from app.web import dashboard, gallery, job, reference, requests, submit  # noqa: F401 - they add their routes to `blueprint`
from app.web.blueprint import blueprint

__all__ = ["blueprint"]
