"""The levels of the family served, with what was measured of them."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.schemas.levels import LevelOut, LevelsOut, MeasuredOut
from core.families import Family, Level
from core.profiles import Profile
from core.tables import Worker
from scheduler.observation.queries import profiles


def levels_out(session: Session, family: Family) -> LevelsOut:
    """The family served, with what was measured of its levels on the types of device that have worked here."""
    types = session.scalars(select(Worker.device_type).where(Worker.family == family.id).distinct())
    measured = profiles(family, types)
    return LevelsOut(
        family=family.id,
        title=family.title,
        version=family.version,
        defaults=family.defaults.model_dump(),
        limits=family.limits.model_dump(),
        levels=[_level_out(family, level, measured) for level in family.levels.values()],
    )


def _level_out(family: Family, level: Level, measured: Mapping[str, Profile]) -> LevelOut:
    """A level with its costs; `measured` has the profiles by type of device."""
    steps, skipped = level.schedule(family.defaults.steps, family.defaults.steps)
    costs = {device: profile.level(level.id) for device, profile in measured.items() if level.id in profile.ids}
    return LevelOut(
        id=level.id,
        strategy=level.strategy,
        model=level.model,
        queue=family.queue(level.id),
        steps=steps,
        steps_skipped=skipped,
        reference=level.id == family.reference,
        measured={device: MeasuredOut.model_validate(cost) for device, cost in costs.items()},
    )
