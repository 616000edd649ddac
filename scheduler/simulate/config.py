"""One simulated run: who serves, under which policy, with what going wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from core.errors import BadInput
from core.profiles import Profile


@dataclass(frozen=True)
class SimConfig:
    """`workers` by device type, as in `profiles`; times in seconds.

    `admission_control` is for all policies alike: requests that cannot be in time any more let others go first.
    `load_s` by level replaces the profile's load times for policies whose variants are models. `failures` are (at,
    which worker, for how long); what a dead worker ran is found `stale_s` later. `history` holds the requests in each
    second before the run, which the forecaster has seen, as live it reads the rows of the past hours.
    """

    policy: str
    profiles: Mapping[str, Profile]
    workers: Mapping[str, int]
    slo_s: float
    tick_s: float = 10.0
    floor: float = 0.0
    load_s: Mapping[str, float] = field(default_factory=dict)
    failures: tuple[tuple[float, int, float], ...] = ()
    stale_s: float = 15.0
    batch_window_s: float = 86_400.0
    history: tuple[int, ...] = ()
    admission_control: bool = True

    def __post_init__(self) -> None:
        if not sum(self.workers.values()):
            raise BadInput("a simulation needs at least one worker", field="workers")
        for name, value in (("slo", self.slo_s), ("tick", self.tick_s)):
            if not (math.isfinite(value) and value > 0):
                raise BadInput(f"{name} must be above 0, not {value}", field=name)
