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
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scheduler.observation.calibration import Correction
from scheduler.policies import Epoch

OLD_NAMES = {"worth": "price", "slips": "p90_ratios", "beside_s": "overhead_s"}


def epoch_of(number: int, decided: Mapping[str, Any]) -> Epoch:
    """The plan in force, from its row."""
    curves = {model: _renamed(curve) for model, curve in decided["curves"].items()}
    return Epoch.from_json({**decided, "curves": curves, "number": number})


def corrections_of(observed: Mapping[str, Any]) -> dict[str, Correction]:
    """What a plan knew of each type of device against its profile."""
    return {device: Correction(**_renamed(parts)) for device, parts in observed.get("corrections", {}).items()}


def _renamed(parts: Mapping[str, Any]) -> dict[str, Any]:
    return {OLD_NAMES.get(name, name): value for name, value in parts.items()}
