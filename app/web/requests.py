"""`/requests/<id>`: the whole record of one image."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from flask import render_template

from app.access import needs
from app.beginnings import UPSCALE_STRENGTH
from app.records.lines import request_line
from app.records.requests import request_out
from app.schemas.requests import TimesOut
from app.web.blueprint import blueprint
from core.database import transaction
from core.keys import Scope

STAGES = (
    ("routing", "accepted_at", "routed_at"),
    ("queue", "routed_at", "started_at"),
    ("denoising", "started_at", "denoised_at"),
    ("decoding, storing", "denoised_at", "stored_at"),
    ("scoring", "stored_at", "scored_at"),
)


@dataclass(frozen=True)
class Stage:
    """A stretch of a request's life: where it begins and how long it is, in % of the whole, and its seconds."""

    name: str
    start: float
    width: float
    seconds: float


@blueprint.get("/requests/<uuid:request_id>")
@needs(Scope.READ)
def request_page(request_id: uuid.UUID) -> str:
    """What was asked, what it got, and why."""
    with transaction() as session:
        found = request_out(session, request_id)
    about = {"stages": stages(found.times), "upscale_strength": UPSCALE_STRENGTH}
    return render_template("request.html", request=found, **about)


@blueprint.get("/requests/<uuid:request_id>/tile")
@needs(Scope.READ)
def request_tile(request_id: uuid.UUID) -> str:
    """The request's tile in a grid."""
    with transaction() as session:
        return render_template("_tile.html", request=request_line(session, request_id))


def stages(times: TimesOut) -> list[Stage]:
    """The stages that are over, in order."""
    spans = [(name, getattr(times, start), getattr(times, end)) for name, start, end in STAGES]
    done = [(name, start, end) for name, start, end in spans if start and end and end >= start]
    whole = _length(times.accepted_at, done[-1][2]) if done else 0.0
    if not whole:
        return []
    return [
        Stage(
            name,
            100 * _length(times.accepted_at, start) / whole,
            100 * _length(start, end) / whole,
            _length(start, end),
        )
        for name, start, end in done
    ]


def _length(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds()
