"""At which level a request runs that named one which is not offered, or not any more."""

from __future__ import annotations

from core.families import Family
from core.levels import AND


def stand_in(family: Family, level_id: str) -> str:
    """The level itself where it is offered; else what is left of one that is made of others, else the reference level,
    which loses nothing."""
    return next((each for each in (level_id, *level_id.split(AND)) if each in family.levels), family.reference)
