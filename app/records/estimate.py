"""How long a submission would take, before it is sent: what goes before it, and what the workers that live carry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from core.families import Family
from core.kinds import share_of
from core.own_work import FROM_USERS
from core.profiles import LevelProfile, Profile
from core.tables import ACTIVE_STATES, Job, Request, ServiceClass
from scheduler.observation.calibration import Correction, corrected
from scheduler.observation.queries import LiveWorker, live_workers, profiles
from scheduler.observation.stored_plan import corrections_in_force

COLUMNS = (
    *(Request.level, Request.level_asked, Request.steps, Request.width, Request.height),
    *(Request.strength, Request.own_kind),
)


class Work(NamedTuple):
    """What says how long a request takes: its level (none of the family's: not chosen yet), steps, width and height in
    pixels, and its share by `core.kinds.share_of`."""

    level: str
    steps: int
    width: int
    height: int
    share: float = 1.0


@dataclass(frozen=True)
class Estimate:
    """Seconds until the last image is stored, none where nobody can say; and how many requests go first: not those that
    are paused."""

    seconds: float | None
    waiting: int
    workers: int


def estimate(session: Session, family: Family, service_class: ServiceClass, images: Mapping[Work, float]) -> Estimate:
    """For so many images more of each kind of work, behind all that goes before their class.

    What has no level yet is reckoned at the reference level. Under load Argus lowers levels, so it is done sooner than
    this says, not later.
    """
    workers, before = live_workers(session, family), _before(session, family, service_class)
    costs = _Costs(family, workers, corrections_in_force(session, family))
    waiting = sum(before.values())
    if not costs.known:
        return Estimate(None, waiting, len(workers))
    whole = sum(n * costs.seconds(work) for some in (before, images) for work, n in some.items())
    alone = max((costs.alone_s(work) for work in images), default=0.0)
    return Estimate(max(alone, whole), waiting, len(workers))


def _before(session: Session, family: Family, service_class: ServiceClass) -> Counter[Work]:
    """What is open and drawn first: before interactive requests such ones and batch work that is urgent, before batch
    work everything."""
    query = select(func.count(), *COLUMNS).join(Job).where(FROM_USERS, Request.family == family.id)
    query = query.where(Request.state.in_(ACTIVE_STATES)).group_by(*COLUMNS)
    if service_class is ServiceClass.INTERACTIVE:
        query = query.where(or_(Request.service_class == ServiceClass.INTERACTIVE, Request.urgent))
    found: Counter[Work] = Counter()
    for n, level, asked, steps, width, height, strength, own_kind in session.execute(query):
        found[Work(level or asked, steps, width, height, share_of(strength, own_kind))] += n
    return found


class _Costs:
    """What work takes of all workers together, as far as profiles know it, and as live timings have corrected them."""

    def __init__(self, family: Family, workers: Sequence[LiveWorker], now: Mapping[str, Correction]) -> None:
        self._family = family
        known = profiles(family, {worker.device_type for worker in workers})
        measured = {device: corrected(profile, now.get(device, Correction())) for device, profile in known.items()}
        self._profiles: list[Profile] = [measured[w.device_type] for w in workers if w.device_type in measured]

    @property
    def known(self) -> bool:
        """Whether a worker is there that was measured at the reference level, which stands in for others."""
        return bool(self._of(self._family.reference))

    def seconds(self, work: Work) -> float:
        """Of the whole cluster, with nothing else to do."""
        return 60 * self._length(work) / sum(cost.requests_per_minute for cost in self._at(work))

    def alone_s(self, work: Work) -> float:
        """From the start to the stored image on the slowest worker, alone there."""
        return self._length(work) * max(cost.latency_s for cost in self._at(work))

    def _length(self, work: Work) -> float:
        """Relative to a request of the usual steps and size, as the planner has it."""
        return next(iter(self._family.lengths((self._level(work),), *work[1:])), 1.0)

    def _level(self, work: Work) -> str:
        return work.level if work.level in self._family.levels else self._family.reference

    def _at(self, work: Work) -> list[LevelProfile]:
        return self._of(self._level(work)) or self._of(self._family.reference)

    def _of(self, level: str) -> list[LevelProfile]:
        return [cost for profile in self._profiles for cost in profile.all_levels if cost.id == level]
