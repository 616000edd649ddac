"""`/settings` and `/keys`, for who operates this Argus: settings in force, tenants and their keys."""

from __future__ import annotations

import uuid
from typing import Any

from flask import redirect, render_template, request, url_for
from sqlalchemy import select

from app.access import needs
from app.errors import answer
from app.idempotency import digest_of, first_made
from app.keyring import KEYRING
from app.records.in_force import in_force
from app.security import check_form
from app.web.blueprint import blueprint
from core.database import transaction
from core.errors import ArgusError, BadInput, Conflict
from core.keys import USUAL, Scope, create_key, find_key, list_keys, revoke_key
from core.tenant_tables import Tenant
from core.tenants import create_tenant

MOST_WEIGHT = 1000.0
SENT_TWICE = (
    "This form was sent twice: its key was made the first time, and shown then. If nobody saw it, revoke it below and "
    "create another."
)


@blueprint.get("/settings")
@needs(Scope.ADMIN)
def show_settings() -> str:
    """Every setting with its value and where that comes from."""
    return render_template("settings.html", settings=in_force())


@blueprint.get("/keys")
@needs(Scope.ADMIN)
def keys() -> str:
    """Tenants and their keys."""
    return _page()


@blueprint.post("/keys")
@needs(Scope.ADMIN)
def new_key() -> Any:
    """Make a key, and its tenant where there is none; the whole key is shown once, now. Sent twice, one is made."""
    check_form()
    said = request.form
    try:
        scopes = _scopes(said.getlist("scopes"))
        with transaction() as session:
            tenant, name = said.get("tenant", "").strip(), said.get("name", "").strip() or "by the page"
            if first_made(session, digest_of(repr((tenant, name, scopes)).encode()), uuid.uuid4()):
                raise Conflict(SENT_TWICE)
            if session.get(Tenant, tenant) is None:
                create_tenant(session, tenant, weight=_weight(said.get("weight", "")))
            _, written = create_key(session, tenant, name, scopes)
    except ArgusError as error:
        return answer(error) if error.status >= 500 else (_page(error=error, values=said), error.status)
    KEYRING.forget()
    return _page(written=str(written))


@blueprint.post("/keys/<id>/revoke")
@needs(Scope.ADMIN)
def revoke(id: str) -> Any:
    """The key opens nothing any more."""
    check_form()
    with transaction() as session:
        revoke_key(session, find_key(session, id))
    KEYRING.forget()
    return redirect(url_for("web.keys"), 303)


def _page(written: str | None = None, error: ArgusError | None = None, values: Any = None) -> str:
    with transaction() as session:
        tenants, found = session.scalars(select(Tenant).order_by(Tenant.name)).all(), list_keys(session)
    about = {"scopes": list(Scope), "demanded": KEYRING.demanded(), "values": values or {}}
    ticked = values.getlist("scopes") if values else USUAL
    return render_template(
        "keys.html", tenants=tenants, keys=found, written=written, error=error, ticked=ticked, **about
    )


def _scopes(said: list[str]) -> tuple[Scope, ...]:
    try:
        found = tuple(Scope(scope) for scope in said)
    except ValueError:
        raise BadInput(f"Scopes are {', '.join(Scope)}.", field="scopes") from None
    if not found:
        raise BadInput("A key without a scope may do nothing: tick one.", field="scopes")
    return found


def _weight(text: str) -> float:
    try:
        weight = float(text or 1.0)
    except ValueError:
        weight = 0.0
    if not 0 < weight <= MOST_WEIGHT:
        raise BadInput(f"A weight is a number above 0, at most {MOST_WEIGHT:g}.", field="weight")
    return weight
