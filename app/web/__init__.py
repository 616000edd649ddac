"""Pages for people: one file a page. Fragments (`/…/tile`, `/…/head`) are what htmx swaps in while a page is open."""

# They add their routes to `blueprint`.
from app.web import dashboard, gallery, job, reference, requests, sign_in, submit  # noqa: F401
from app.web.blueprint import blueprint

__all__ = ["blueprint"]
