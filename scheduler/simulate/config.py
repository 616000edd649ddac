"""One simulated run: who serves, under which policy, with what going wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from core.errors import BadInput
from core.parallel import AUTO
from core.parallel_profiles import ModeProfile
from core.profiles import Profile
from scheduler.planning.gangs import MOST_WAIT


@dataclass(frozen=True)
class GangSetting:
    """How workers may draw one image together (`scheduler.simulate.gangs`).

    Args:
        modes: what a step takes in every mode, by device type.
        asked: what requests say, `auto`, `off` or a mode.
        host: workers of one host; they are numbered host by host.
        most_wait: as in the rule (`scheduler.planning.gangs`, C5); 1 for none.
    """

    modes: Mapping[str, tuple[ModeProfile, ...]]
    asked: str = AUTO
    host: int = 8
    most_wait: float = MOST_WAIT


@dataclass(frozen=True)
class SimConfig:
    """`workers` by device type, as in `profiles`; times in seconds.

    `admission_control` is for all policies alike: requests that cannot be in time any more let others go first.
    `failures` are (at, which worker, for how long); what a dead worker ran is found `stale_s` later. `history` holds
    the requests in each second before the run, which the forecaster has seen, as live it reads the past hours' rows.
    A level that starts from a cached latent is what the request's similarity (`Workload.similarity`) allows, as live;
    with `any_hit` it always starts from the nearest prompt's, however far that is, as the Argus paper's ladder was
    measured (docs/decisions/0053).

    Tenants (`Workload.tenants`) have `weights`, 1 where none is named; unless `fair`, all stand in one line.

    Whether a running request gives way is asked at every arrival and end, or every `look_s` seconds, as workers do.

    What a live system loses besides: `hand_over_s` from routing until a worker may claim; `snapshot_age_s`, how old the
    load is that decisions are made by (the clock never is); `spread`, the standard deviation of the logarithm of
    service times, whose median is the profile's, drawn by `seed`; `overhead_s` from the last step to the stored image
    beyond what the profile has, while the device goes on with others. `believed` are the profiles as policies know them
    from each of these times on: what was learned of devices by then. Without any they are known as they are.

    Without `gangs` every image is drawn by one worker.
    """

    policy: str
    profiles: Mapping[str, Profile]
    workers: Mapping[str, int]
    slo_s: float
    tick_s: float = 10.0
    floor: float = 0.0
    failures: tuple[tuple[float, int, float], ...] = ()
    stale_s: float = 8.0
    batch_window_s: float = 86_400.0
    history: tuple[int, ...] = ()
    admission_control: bool = True
    any_hit: bool = False
    hand_over_s: float = 0.0
    snapshot_age_s: float = 0.0
    spread: float = 0.0
    overhead_s: float = 0.0
    look_s: float = 0.0
    believed: tuple[tuple[float, Mapping[str, Profile]], ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    fair: bool = True
    seed: int = 0
    gangs: GangSetting | None = None

    def __post_init__(self) -> None:
        if not sum(self.workers.values()):
            raise BadInput("a simulation needs at least one worker", field="workers")
        for name, value in (("slo", self.slo_s), ("tick", self.tick_s)):
            if not (math.isfinite(value) and value > 0):
                raise BadInput(f"{name} must be above 0, not {value}", field=name)
