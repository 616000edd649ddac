"""Which levels a request may go on at on the model it runs on: the user's word, its floor, the worker's assignment."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from core.families import Family
from core.tables import Request, ServiceClass
from workers.engine.request import MOVABLE


def allowed_levels(
    family: Family, request: Request, offered: Collection[str], means: Mapping[str, float]
) -> tuple[str, ...]:
    """Ids of levels of the request's model; its own is missing where it is not offered any more and others are.

    A level asked for by name is kept, and batch work that has time stays at the level it waited for.

    Args:
        offered: levels that the worker serves under the plan in force.
        means: relative quality by level, where nothing was predicted for this prompt.
    """
    own = family.level(request.level or family.reference)
    if request.level_asked != "auto" or (request.service_class == ServiceClass.BATCH and not request.urgent):
        return (own.id,)
    found = [level for level in family.levels_of(own.model) if level.id in offered]
    good = [
        level.id
        for level in found
        if level == own or (level.strategy in MOVABLE and _keeps_floor(request, level.id, means))
    ]
    return tuple(good) or (own.id,)


def _keeps_floor(request: Request, level: str, means: Mapping[str, float]) -> bool:
    """Whether a level is expected to keep the request's floor; one of unknown quality does not."""
    floor = request.min_quality or 0.0
    return floor <= 0 or (request.qualities or {}).get(level, means.get(level, 0.0)) >= floor
