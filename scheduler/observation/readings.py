"""What the rows say of the load, read by one process a second and shared with all others.

A thousand workers need the same numbers each second: who works, what waits and runs by level, how much comes. Whoever
finds them older than a second reads the rows and shares them through the broker; the scheduler does so before it comes
to that. While the broker is away, or nobody has shared anything, each process reads for itself.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from core.database import transaction
from core.families import Family
from core.shared_values import shared_values
from core.tables import Plan
from scheduler.observation import demand, queries
from scheduler.observation.demand import Demand
from scheduler.observation.queries import LiveWorker
from scheduler.observation.stored_plan import plans_of
from scheduler.observation.target import latency_target_s

log = structlog.get_logger(__name__)
EVERY_S = 1.0  # they are read so often
KEPT_S = 3.0  # and serve for so long, should the process that was to read them again have ended
PLAN_KEPT_S = 60.0
SCHEDULER_EVERY_S = 0.8  # before anybody else has to


@dataclass(frozen=True)
class Readings:
    """Numbers of one look at the rows. `at` is Unix time; the plan in force has no epoch where there is none."""

    at: float
    epoch: int
    policy: str  # that made the plan in force
    target_s: float
    workers: tuple[LiveWorker, ...]
    running: Mapping[str, int]  # by level, as `waiting`
    waiting: Mapping[str, int]
    background: Mapping[str, int]  # what fills idle workers
    cancelled: int  # requests that run though nobody wants them any more
    rate: float
    dispersion: float
    tenants: Mapping[str, float] = field(default_factory=dict)  # weights of those that want the devices
    in_front: tuple[str, ...] = ()  # of them those that sent something with a latency target of late

    def to_json(self) -> dict[str, Any]:
        """Workers that cannot be told apart are one entry, with how many they are: their names are left out."""
        alike = Counter((w.device_type, w.models, w.queues, w.memory_mb) for w in self.workers)
        return {**asdict(self), "workers": [[*alike_one, count] for alike_one, count in alike.items()]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Readings:
        workers: list[LiveWorker] = []
        for device_type, models, queues, memory_mb, count in data["workers"]:
            workers += [LiveWorker("", device_type, tuple(models), tuple(queues), memory_mb)] * count
        return cls(**{**data, "workers": tuple(workers), "in_front": tuple(data.get("in_front", ()))})


class SharedReadings:
    """The newest readings of a family."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.demand = Demand(family)
        self._name = f"readings:{family.id}"

    def newest(self, session: Session) -> Readings:
        """As somebody shared them, at most a second or so old; as the rows are, where nobody has or it is our turn."""
        turn, found = shared_values().get_in_turn(self._name, EVERY_S)
        if turn or found is None:
            return self.read(session)
        try:
            return Readings.from_json(found)
        except (KeyError, TypeError, ValueError) as error:  # of another version, while it is upgraded
            log.warning("readings cannot be read", error=repr(error))
            return self.read(session, share=False)

    def read(self, session: Session, share: bool = True) -> Readings:
        """As the rows are now; and all others get to know."""
        newest = select(Plan.epoch, Plan.policy).where(Plan.in_force, plans_of(self.family))
        plan = session.execute(newest.order_by(Plan.epoch.desc()).limit(1)).first()
        wanting = demand.wanting_tenants(session, self.family)
        in_front = tuple(one.name for one in wanting if one.in_front)
        found = Readings(
            at=time.time(),
            epoch=plan.epoch if plan else 0,
            policy=plan.policy if plan else "",
            target_s=latency_target_s(session, self.family),
            workers=tuple(queries.live_workers(session, self.family)),
            running=queries.running_by_level(session, self.family),
            waiting=queries.waiting_by_level(session, self.family),
            background=queries.background_by_level(session, self.family),
            cancelled=queries.cancelled_running(session, self.family),
            rate=self.demand.rate(session, several=len(in_front) > 1),
            dispersion=self.demand.forecaster.dispersion,
            tenants={one.name: one.weight for one in wanting},
            in_front=in_front,
        )
        if share:
            shared_values().put(self._name, found.to_json(), KEPT_S, EVERY_S)
        return found

    def forget(self) -> None:
        """Something has changed that decisions must know of: the next who asks reads the rows."""
        shared_values().forget(self._name)

    def plan(self, session: Session, epoch: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """What was decided and observed for a plan; it never changes."""
        name = f"plan:{self.family.id}:{epoch}"
        found = shared_values().get(name)
        if found is None:
            row = session.get_one(Plan, epoch)
            found = [row.decided, row.observed]
            shared_values().put(name, found, PLAN_KEPT_S)
        return found[0], found[1]


class ReadingsShared(threading.Thread):
    """Reads and shares, so that no worker has to, for as long as the scheduler runs."""

    def __init__(self, family: Family) -> None:
        super().__init__(name="readings", daemon=True)
        self.readings = SharedReadings(family)
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(SCHEDULER_EVERY_S):
            try:
                with transaction() as session:
                    self.readings.read(session)
            except SQLAlchemyError as error:
                log.warning("database away", error=str(error).splitlines()[0])
