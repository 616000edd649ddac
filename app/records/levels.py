"""The levels of the family served, with what was measured of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.schemas.levels import FamilyLoraOut, LevelOut, LevelsOut, MeasuredOut
from core.errors import BadProfile
from core.families import Family
from core.levels import Level
from core.loras import Lora
from core.parallel import modes_of
from core.profiles import Profile, QualityTable
from core.tables import Worker
from scheduler.observation.queries import profiles
from scheduler.prediction.quality_table import table_of


def levels_out(session: Session, family: Family) -> LevelsOut:
    """The family served, with what was measured of its levels on the types of device that have worked here."""
    types = session.scalars(select(Worker.device_type).where(Worker.family == family.id).distinct())
    return levels_on(family, types)


def levels_on(family: Family, types: Iterable[str]) -> LevelsOut:
    """The same on these types of device.

    Their quality is the mean of the family's quality table: a profile has that of the day it was made, and counts where
    there is no table.
    """
    measured, table = profiles(family, types), quality_table(family)
    means = table.means if table else {}
    return LevelsOut(
        family=family.id,
        title=family.title,
        version=family.version,
        defaults=family.defaults.model_dump(),
        limits=family.limits.model_dump(),
        levels=[_level_out(family, level, measured, means.get(level.id)) for level in family.levels.values()],
        loras=[_lora_out(family, lora) for lora in family.loras.values()],
        parallel=list(modes_of(family.models[family.level(family.reference).model].pipeline)),
    )


def _lora_out(family: Family, lora: Lora) -> FamilyLoraOut:
    able = [level for level in family.levels if family.draws(level, f"{lora.id}:1")]
    return FamilyLoraOut(name=lora.id, weight=lora.weight, words=list(lora.words), levels=able)


def quality_table(family: Family) -> QualityTable | None:
    """Measured qualities by prompt and level; none where nobody measured them, or the file cannot be read."""
    try:
        return table_of(family)
    except BadProfile:
        return None


def _level_out(family: Family, level: Level, measured: Mapping[str, Profile], quality: float | None) -> LevelOut:
    """A level with its costs; `measured` has the profiles by type of device, `quality` goes before theirs."""
    steps, skipped = level.schedule(family.defaults.steps, family.defaults.steps)
    costs = {device: one for device, found in measured.items() for one in found.all_levels if one.id == level.id}
    if quality is not None:
        costs = {device: cost.model_copy(update={"quality": quality}) for device, cost in costs.items()}
    return LevelOut(
        id=level.id,
        strategy=level.strategy,
        model=level.model,
        queue=family.queue(level.id),
        steps=steps,
        steps_skipped=skipped,
        reference=level.id == family.reference,
        by_name=level.by_name,
        measured={device: MeasuredOut.model_validate(cost) for device, cost in costs.items()},
    )
