"""Plans as rows: the one in force, and ticks that failed."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from core.database import transaction
from core.families import Family
from core.tables import Plan
from scheduler.control.observe import Observed
from scheduler.observation.stored_plan import plans_of
from scheduler.policies import Epoch

log = structlog.get_logger(__name__)
FAILURES = 100  # failed ticks remembered while the database is away


class PlanLog:
    """Writes what a policy's ticks decided for a family. A failed tick waits for the next that reaches the database."""

    def __init__(self, family: Family, policy: str) -> None:
        self.family, self.policy = family, policy
        self._failed: deque[dict[str, Any]] = deque(maxlen=FAILURES)

    def record(self, observed: Observed, epoch: Epoch, seconds: float) -> int:
        """The new plan comes into force; returns its epoch."""
        with transaction() as session:
            session.execute(update(Plan).where(Plan.in_force, plans_of(self.family)).values(in_force=False))
            row = Plan(
                family=self.family.id,
                policy=self.policy,
                status=epoch.plan.status,
                in_force=True,
                observed=observed.to_json(),
                decided=epoch.to_json(),
                reason=explain(observed, epoch),
                seconds=seconds,
            )
            session.add(row)
            session.flush()
            return row.epoch

    def record_failure(self, error: Exception, seconds: float) -> None:
        """A failed tick is a row too."""
        self._failed.append(
            {
                "created_at": datetime.now(UTC),
                "family": self.family.id,
                "policy": self.policy,
                "status": "failed",
                "in_force": False,
                "observed": {},
                "decided": {},
                "reason": f"{type(error).__name__}: {error}",
                "seconds": seconds,
            }
        )
        try:
            self.record_failures()
        except SQLAlchemyError as away:
            log.warning("failed tick not recorded yet", error=str(away).splitlines()[0])

    def record_failures(self) -> None:
        """Write the failed ticks that have no row yet."""
        if not self._failed:
            return
        with transaction() as session:
            session.add_all([Plan(**failed) for failed in self._failed])
        self._failed.clear()


def explain(observed: Observed, epoch: Epoch) -> str:
    """The plan in a sentence or two, for people."""
    situation = observed.situation
    rate, waiting = (60 * situation.rate, sum(situation.queued.values())) if situation else (0.0, 0)
    shares = sorted(epoch.shares.items(), key=lambda item: -item[1])
    load = ", ".join(f"{level} {share:.0%}" for level, share in shares if share >= 0.005) or "no load"
    workers = ", ".join(f"{n}× {model}" for model, n in sorted(epoch.workers.items()))
    shed = sum(epoch.plan.shed.values())
    parts = [
        f"{rate:.1f} requests/min expected{' (burst)' if observed.forecast.burst else ''}",
        f"{waiting:,} waiting that can be in time",
        workers,
        load,
    ]
    if shed > 0.05:
        parts.append(f"{shed:.1f} requests/min more than the cluster carries at any level")
    if epoch.plan.reason:
        parts.append(epoch.plan.reason)
    return "; ".join(parts)
