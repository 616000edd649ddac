"""`/sign-in`, `/sign-out`: pages by a key, kept as a signed cookie that ends with the key."""

from __future__ import annotations

import re
from typing import Any

from flask import redirect, render_template, request, session, url_for

from app.access import SESSION_KEY, find_key, public
from app.keyring import KEYRING
from app.links import root
from app.security import check_form
from app.web.blueprint import blueprint

OURS = re.compile(r"/(?![/\\])[^\s\\]*")  # a path of this site: `//other.example` is none


@blueprint.get("/sign-in")
@public
def sign_in() -> Any:
    """The form that asks for a key."""
    return _page() if KEYRING.demanded() else redirect(url_for("web.home"))


@blueprint.post("/sign-in")
@public
def take_key() -> Any:
    """Sign this browser in, and go on to the page that was asked for."""
    check_form()
    key = find_key(request.form.get("key", ""))
    if key is None:
        return _page(wrong=True), 401
    session.clear()
    session[SESSION_KEY], session.permanent = key.id, True
    return redirect(_next(), 303)


@blueprint.post("/sign-out")
@public
def sign_out() -> Any:
    """Forget the key."""
    check_form()
    session.clear()
    return redirect(url_for("web.sign_in"), 303)


def _page(wrong: bool = False) -> str:
    return render_template("sign_in.html", next=_next(), wrong=wrong)


def _next() -> str:
    """Where the browser goes then: a path of ours, else the form."""
    wanted = request.values.get("next", "")
    return wanted if OURS.fullmatch(wanted) else f"{root()}/"
