"""The tick: observe, forecast, plan, record, re-align what waits, remap workers, verify that they follow.

The plan in force stays until a better one is recorded: a solver that crashes, a profile that cannot be read or a
database that is away costs a tick, which is recorded as failed where that is possible.
"""

from __future__ import annotations

import time

import structlog
from sqlalchemy import func, select

from core.database import transaction
from core.families import Family
from core.tables import Plan
from scheduler.control import remap
from scheduler.control.assignments import new_assignments
from scheduler.control.decide import Decision, decide
from scheduler.control.observe import Observed, Observer
from scheduler.control.plan_log import PlanLog
from scheduler.control.realign import realign, restore_batch_work, start_urgent
from scheduler.observation import queries
from scheduler.observation.snapshot import SnapshotReader
from scheduler.observation.stored_plan import plans_of

log = structlog.get_logger(__name__)


class Scheduler:
    """Plans for one family, tick by tick. Between ticks its reader remembers the forecast, its log failed ticks."""

    def __init__(self, family: Family, policy: str | None = None) -> None:
        self.family = family
        self.reader = SnapshotReader(family, policy)
        self.observer = Observer(family, self.reader)
        self.plans = PlanLog(family, self.reader.name)

    def tick(self) -> int | None:
        """One turn of the loop; returns the new epoch, or None when the plan in force stays."""
        started = time.perf_counter()
        try:
            self.plans.record_failures()
            observed = self.observe()  # and forecast
            decision = self.plan(observed)
            epoch = self.record(observed, decision, time.perf_counter() - started) if decision else None
            self.realign(observed, decision, epoch)
            self.remap(observed, decision)
            self.verify(observed)
        except Exception as error:
            log.exception("tick failed; the plan in force stays")
            self.plans.record_failure(error, time.perf_counter() - started)
            return None
        return epoch

    def observe(self) -> Observed:
        with transaction() as session:
            return self.observer.observe(session)

    def plan(self, observed: Observed) -> Decision | None:
        """The decision; none while there is no worker with a profile to plan for."""
        if observed.policy is None or observed.situation is None:
            return None
        return decide(observed.policy, observed.situation)

    def record(self, observed: Observed, decision: Decision, seconds: float) -> int:
        return self.plans.record(observed, decision.epoch, seconds)

    def realign(self, observed: Observed, decision: Decision | None, epoch: int | None) -> None:
        """What waits gets the levels of the new plan; batch work that would miss its window waits no longer."""
        self.reader.invalidate()
        if decision is None or epoch is None or observed.policy is None:
            return
        realign(self.family, observed.policy, observed.waiting, decision.levels, observed.snapshot, epoch)
        restore_batch_work(self.family, observed.snapshot)
        start_urgent(observed.batch, decision.urgent, observed.snapshot)

    def remap(self, observed: Observed, decision: Decision | None) -> None:
        """Workers that are to hold something else are told so."""
        with transaction() as session:
            waited_for = queries.levels_asked_for(session, self.family)
            epoch = session.scalar(select(func.max(Plan.epoch)).where(plans_of(self.family)))
        planned: dict[str, tuple[str, ...]] = {}
        if decision is not None and observed.policy is not None:
            held = observed.policy.cluster.models_held if observed.policy.shared else lambda level: (level,)
            planned = {worker: held(what) for worker, what in decision.models.items()}
        wanted = new_assignments(self.family, observed.workers, planned, waited_for, observed.dwelling)
        if wanted and epoch is not None:
            remap.issue(epoch, wanted)

    def verify(self, observed: Observed) -> None:
        """Workers that were told something consume what they were told."""
        remap.verify(observed.snapshot.workers)
