"""Who calls, what they may do, and which rows they may see.

::

    Authorization: Bearer <key>        programs, as OpenAI's clients do it
    Authorization: Basic <any>:<key>   clients of the web UI's API (--api-auth)
    a signed cookie                    pages, after signing in (`app/web/sign_in.py`)

Every route says what its caller needs, `@needs(Scope.READ)` or `@public`; one that does not is answered to nobody.
Where keys are not demanded (`app/keyring.py`), everybody is the default tenant's and may do all. A row of another
tenant is as if it were not there: `owned` is part of every statement that finds a job, a request or an image.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from apiflask import APIFlask
from flask import current_app, g, has_request_context, request, session
from sqlalchemy import FromClause, Join, Table, select
from werkzeug.datastructures import Authorization

from app.cors import allowed_origin
from app.keyring import KEYRING, Known
from core.database import AWAY
from core.errors import MissingScope, Unauthorized
from core.keys import Scope, read_key
from core.tables import Image, Request
from core.tenant_tables import DEFAULT

View = TypeVar("View", bound=Callable[..., Any])
Statement = TypeVar("Statement", bound=Any)
NEEDS, SUBMITS = "argus_needs", "argus_submits"  # marks of routes
NOT_OURS = ("static", "openapi.spec")  # routes that libraries add: nothing secret is there
SESSION_KEY = "key"
COOKIE = {  # which pages come with once somebody has signed in
    "SESSION_COOKIE_NAME": "argus_session",
    "SESSION_COOKIE_HTTPONLY": True,
    "SESSION_COOKIE_SAMESITE": "Lax",
    "PERMANENT_SESSION_LIFETIME": timedelta(days=7),
}
ALL = frozenset(Scope)


@dataclass(frozen=True)
class Caller:
    """Who calls: a key of a tenant, or anybody where none is demanded."""

    tenant: str
    scopes: frozenset[Scope]
    key: Known | None = None

    @property
    def sees_all(self) -> bool:
        return Scope.ADMIN in self.scopes

    @property
    def only(self) -> str | None:
        """The tenant whose rows alone it sees; none: it sees all."""
        return None if self.sees_all else self.tenant

    def may(self, *scopes: Scope) -> bool:
        """Whether one of these is among what it may do."""
        return self.sees_all or not self.scopes.isdisjoint(scopes)


ANYBODY = Caller(DEFAULT, ALL)
NOBODY = Caller(DEFAULT, frozenset())  # who is not known


def needs(*scopes: Scope) -> Callable[[View], View]:
    """A route for who has one of these scopes; stands below the line that adds the route."""

    def mark(view: View) -> View:
        setattr(view, NEEDS, scopes)
        return view

    return mark


public = needs()  # a route for everybody


def submits(view: View) -> View:
    """A route that hands in work, for who may submit; ARGUS_RATE_LIMIT counts its calls (`app/security.py`)."""
    setattr(view, SUBMITS, True)
    return needs(Scope.SUBMIT)(view)


def register(app: APIFlask) -> None:
    """Ask every caller of an app; after names and sites are checked, before anything is read."""
    app.before_request(admit)


def needed(app: Any, endpoint: str) -> tuple[Scope, ...] | None:
    """Scopes of which a route needs one: none of them for public ones; None where nobody said."""
    if endpoint in NOT_OURS:
        return ()
    found: tuple[Scope, ...] | None = getattr(app.view_functions[endpoint], NEEDS, None)
    return found


def admit() -> None:
    """Find out who calls, and whether they may.

    Raises:
        Unauthorized: keys are demanded, and there is none, or none that is good.
        MissingScope: its key may not do this.
    """
    if request.endpoint is None:
        return  # no such address
    scopes = needed(current_app, request.endpoint)
    if scopes == ():
        return
    g.caller = who = _caller()
    if scopes is None:
        raise MissingScope("This address does not say what its caller needs: it is answered to nobody.")
    if not who.may(*scopes):
        raise MissingScope(f"This key may {_listed(who)}; this address needs {' or '.join(scopes)}.")


def caller() -> Caller:
    """Who calls; outside of HTTP it is Argus itself."""
    if not has_request_context():
        return ANYBODY
    if "caller" not in g:
        g.caller = _caller()
    found: Caller = g.caller
    return found


def owned(statement: Statement) -> Statement:
    """A statement on rows that have an owner (jobs, requests, images, files, batches), narrowed to those that the
    caller may see. Of several tables in it one is enough: what belongs together belongs to one tenant.

    Raises:
        TypeError: it is about nothing that has an owner.
    """
    who = caller()
    tables = [table for part in _froms(statement) for table in _tables(part)]
    owner = next((table.c.tenant for table in tables if "tenant" in table.c), None)
    if owner is None and Image.__table__ not in tables:
        raise TypeError(f"Nothing in this statement has an owner: {statement}")
    if who.sees_all:
        return statement
    if owner is not None:
        narrowed: Statement = statement.where(owner == who.tenant)
        return narrowed
    mine = select(Request.id).where(Request.id == Image.request_id, Request.tenant == who.tenant)
    of_images: Statement = statement.where(mine.exists())
    return of_images


def _froms(statement: Any) -> list[FromClause]:
    return [statement.table] if hasattr(statement, "table") else statement.get_final_froms()


def _tables(part: FromClause) -> list[Table]:
    if isinstance(part, Join):
        return [*_tables(part.left), *_tables(part.right)]
    return [part] if isinstance(part, Table) else []


def _caller() -> Caller:
    if not KEYRING.demanded():
        return ANYBODY
    key = _sent_key(request.authorization) if request.authorization else _session_key()
    with suppress(*AWAY):
        KEYRING.note_use(key)
    return Caller(key.tenant, key.scopes, key)


def _sent_key(sent: Authorization) -> Known:
    """The key of the header `Authorization`; raises `Unauthorized`."""
    text = sent.token if sent.type == "bearer" else sent.password or sent.username if sent.type == "basic" else None
    if found := find_key(text or ""):
        return found
    raise Unauthorized("This key is not known here: it is mistyped, revoked or has expired.")


def find_key(text: str) -> Known | None:
    """The key that was sent, if it is good."""
    written = read_key(text)
    known = KEYRING.find(written.id) if written else None
    return known if written and known and written.fits(known.hash) and known.is_good else None


def _session_key() -> Known:
    """The key that this browser signed in with; raises `Unauthorized`. Pages of other sites call without it."""
    id = None if allowed_origin() else session.get(SESSION_KEY)
    known = KEYRING.find(str(id)) if id else None
    if known and known.is_good:
        return known
    raise Unauthorized("This Argus asks for a key: send it as `Authorization: Bearer argus_…`, or sign in.")


def _listed(who: Caller) -> str:
    return ", ".join(sorted(who.scopes)) or "nothing"
