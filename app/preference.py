"""`Prefer: wait=N` (RFC 7240): an answer that comes when the images are there, or after N seconds.

A preference is no demand: one that cannot be read, or finds no place to wait, is passed over, and the answer does not
say that it was applied. The job goes on whether or not somebody waits; who hangs up frees the place.
"""

from __future__ import annotations

import re
import uuid
from typing import NamedTuple

from flask import request
from sqlalchemy import ColumnElement, select

from app import waiting
from app.access import caller, owned
from app.clients import client_of
from core.database import transaction
from core.errors import TooOften
from core.keys import Scope
from core.settings import settings
from core.tables import OPEN_STATES, Request

HEADER, APPLIED = "Prefer", "Preference-Applied"
WAIT = re.compile(r"""(?:^|,)\s*wait\s*=\s*"?(\d{1,6})"?\s*(?:;[^,]*)?(?=,|$)""", re.IGNORECASE)


class Waited(NamedTuple):
    """Whether what was waited for is done, and what the answer says of the preference."""

    done: bool = False
    headers: dict[str, str] = {}


def wait_as_preferred(which: ColumnElement[bool]) -> Waited:
    """Wait as long as this HTTP request prefers to, at most ARGUS_COMPAT_WAIT_S, until none of these requests, which
    are of one job, is open."""
    wanted = WAIT.search(request.headers.get(HEADER, ""))
    job_id = _job_of(which) if wanted and caller().may(Scope.READ) else None
    if wanted is None or job_id is None:
        return Waited()
    seconds = min(int(wanted[1]), int(settings().compat_wait_s))
    try:
        leave = waiting.PLACES_TO_WAIT.take(client_of(), seconds, "")
    except TooOften:
        return Waited()
    try:
        waiting.wait_until(lambda: waiting.LEAVING.is_set() or not _is_open(which), job_id, seconds)
    finally:
        leave()
    return Waited(not _is_open(which), {APPLIED: f"wait={seconds}"})


def _job_of(which: ColumnElement[bool]) -> uuid.UUID | None:
    with transaction() as session:
        return session.scalar(owned(select(Request.job_id).where(which)).limit(1))


def _is_open(which: ColumnElement[bool]) -> bool:
    with transaction() as session:
        return session.scalar(select(Request.id).where(which, Request.state.in_(OPEN_STATES)).limit(1)) is not None
