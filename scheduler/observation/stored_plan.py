"""What other processes wrote into the rows of `plan`, read back.

A running system may read rows that the version before wrote: while it is upgraded, and when a scheduler starts. Names
that have changed are read under their old name for one version:

===================================  ================================  ==========
where                                now                               before 0.2
===================================  ================================  ==========
`decided.curves.<model>`             `price`                           `worth`
`observed.corrections.<device>`      `p90_ratios`                      `slips`
`observed.corrections.<device>`      `overhead_s`                      `beside_s`
===================================  ================================  ==========

`decided.plan.format` is the format of a plan, 1 where it is not said. A version that adds fields keeps it, for fields
that are not known are passed over; one that changes what fields mean raises it, and the version before does not follow.

Rows without a `family` are theirs too, and count as everybody's (`plans_of`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import structlog
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from core.families import Family
from core.tables import Plan
from scheduler.observation.calibration import Correction
from scheduler.policies import PLAN_FORMAT, Epoch

log = structlog.get_logger(__name__)
OLD_NAMES = {"worth": "price", "slips": "p90_ratios", "beside_s": "overhead_s"}


def plans_of(family: Family) -> ColumnElement[bool]:
    """Plans of this family, and those of a scheduler that wrote none."""
    return Plan.family.in_([family.id, ""])


def epoch_of(number: int, decided: Mapping[str, Any]) -> Epoch | None:
    """The plan in force, from its row; None for one that this version cannot read."""
    if (number_of_format := int(decided.get("plan", {}).get("format", 1))) > PLAN_FORMAT:
        log.warning("plan cannot be read", epoch=number, format=number_of_format)
        return None
    try:
        curves = {model: _renamed(curve) for model, curve in decided["curves"].items()}
        return Epoch.from_json({**decided, "curves": curves, "number": number})
    except (KeyError, TypeError) as error:
        log.warning("plan cannot be read", epoch=number, error=repr(error))
        return None


def corrections_of(observed: Mapping[str, Any]) -> dict[str, Correction]:
    """What a plan knew of each type of device against its profile."""
    known = {field.name for field in fields(Correction)}
    return {
        device: Correction(**{name: value for name, value in _renamed(parts).items() if name in known})
        for device, parts in observed.get("corrections", {}).items()
    }


def corrections_in_force(session: Session, family: Family) -> dict[str, Correction]:
    """What the plan in force, whoever made it, knew of each type of device."""
    newest = select(Plan.observed).where(Plan.in_force, plans_of(family)).order_by(Plan.epoch.desc()).limit(1)
    return corrections_of(session.scalar(newest) or {})


def _renamed(parts: Mapping[str, Any]) -> dict[str, Any]:
    return {OLD_NAMES.get(name, name): value for name, value in parts.items()}
