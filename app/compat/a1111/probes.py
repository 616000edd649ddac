"""Addresses beside `/sdapi` by which clients see whether a web UI is there."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from sqlalchemy import func, select

from app.access import needs, public
from core.database import transaction
from core.infotext import program
from core.keys import Scope
from core.tables import ACTIVE_STATES, Request

probes = APIBlueprint("a1111_probes", __name__, enable_openapi=False)


@probes.get("/internal/ping")
@public
def ping() -> dict[str, Any]:
    """It is there."""
    return {}


@probes.get("/internal/sysinfo")
@needs(Scope.READ, Scope.SUBMIT)
def read_sysinfo() -> dict[str, Any]:
    """Name and version; nothing about the machine."""
    return {"Version": program(), "Commandline": ["--api"], "Extensions": []}


@probes.get("/login_check")
@needs(Scope.READ, Scope.SUBMIT)
def check_login() -> dict[str, Any]:
    """Whoever gets here is logged in: with a key as password where keys are demanded, else with anything."""
    return {}


@probes.get("/queue/status")
@needs(Scope.READ, Scope.SUBMIT)
def read_queue() -> dict[str, Any]:
    """How long the queue is: all requests that are open, of everybody."""
    with transaction() as session:
        size = session.scalar(select(func.count()).where(Request.state.in_(ACTIVE_STATES))) or 0
    return {"msg": "estimation", "rank": 0, "queue_size": size, "rank_eta": None, "queue_eta": None}
