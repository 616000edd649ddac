"""OpenAI's words for quality, as levels: by what was measured of them.

=================== ===========================================================================
high, hd, xhigh, max the reference level: never approximated
medium              whatever keeps 0.95 of its quality, as predicted for this prompt
low                 the level that costs least, by the profiles of the devices that have worked here
auto, standard      Argus chooses: exact while demand fits
=================== ===========================================================================

A level that `model` names wins, and so does `min_quality` over `medium`: they say it more exactly
(docs/decisions/0082-words-for-quality.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.submission import AUTO
from core.families import Family
from core.profiles import Profile
from core.tables import Worker
from scheduler.observation.queries import profiles

Quality = Literal["auto", "standard", "low", "medium", "high", "hd", "xhigh", "max"]
EXACT, MEDIUM_FLOOR = ("high", "hd", "xhigh", "max"), 0.95
PLAN = (None, "auto", "standard")


@dataclass(frozen=True)
class Wish:
    """A level, or `auto`, and the lowest relative quality wanted; whether a word for quality was heard."""

    level: str
    min_quality: float | None
    heard: bool = True


def wish(session: Session, family: Family, quality: Quality | None, level: str, floor: float | None) -> Wish:
    """What a word for quality asks for, beside the level that `model` names and a `min_quality`."""
    if level != AUTO or quality in PLAN:
        return Wish(level, floor, heard=quality in PLAN)
    if quality in EXACT:
        return Wish(family.reference, floor)
    if quality == "medium":
        return Wish(AUTO, MEDIUM_FLOOR if floor is None else floor, heard=floor is None)
    types = session.scalars(select(Worker.device_type).where(Worker.family == family.id).distinct())
    return Wish(cheapest(profiles(family, types).values(), floor or 0.0), floor)


def cheapest(measured: Iterable[Profile], floor: float) -> str:
    """The level that costs least on the device it costs most on, of those whose mean quality keeps the floor; of equals
    the better one. `auto` while nothing is measured, or nothing keeps it."""
    worst: dict[str, tuple[float, float]] = {}
    found = list(measured)
    for level in {level for profile in found for level in profile.ids}:
        costs = [profile.level(level) for profile in found if level in profile.ids]
        quality = min(cost.quality for cost in costs)
        if len(costs) == len(found) and quality >= floor:
            worst[level] = (max(60 / cost.requests_per_minute for cost in costs), -quality)
    return min(worst, key=lambda level: worst[level], default=AUTO)


def word_for(level: str, predicted: float | None, family: Family) -> Literal["low", "medium", "high"]:
    """The word for what an image got."""
    if level == family.reference:
        return "high"
    return "medium" if predicted is not None and predicted >= MEDIUM_FLOOR else "low"
