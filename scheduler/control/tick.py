"""The tick: observe, forecast, plan, record, re-align what waits, remap workers.

The plan in force stays until a better one is recorded: a solver that crashes, a profile that cannot be read or a
database that is away costs a tick, which is recorded as failed where that is possible.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import structlog
from sqlalchemy import func, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from core import tables
from core.database import transaction
from core.families import Family
from core.profiles import Profile
from core.publishing import publish_requests
from core.requests import change_levels, restore_reference
from core.settings import settings
from core.tables import Request, ServiceClass, State
from scheduler.control import remap
from scheduler.observation import queries as observe
from scheduler.observation.calibration import Correction, learned
from scheduler.observation.forecast import Forecast
from scheduler.observation.queries import LiveWorker
from scheduler.observation.snapshot import Live, Moment, as_request, quality_of
from scheduler.policies import Epoch, Observation, Policy

log = structlog.get_logger(__name__)
SAMPLE = 256  # recent requests whose predicted qualities stand for those to come
FAILURES = 100  # failed ticks remembered while the database is away
REALIGNED = 10_000  # waiting requests that a tick looks at, most urgent first
REPUBLISHED = 500  # of them, those that a tick moves to other workers: each costs a message


@dataclass(frozen=True)
class Seen:
    """What a tick saw. `corrections` are what live timings make of the profiles, by device type."""

    workers: list[LiveWorker]
    policy: Policy
    forecast: Forecast
    observation: Observation
    corrections: dict[str, Correction]
    steady: set[str]

    def to_json(self) -> dict[str, Any]:
        """For the plan's row: numbers, without the sample."""
        seen = self.observation
        return {
            "rate": round(seen.rate, 4),
            "error": round(seen.error, 4),
            "burst": self.forecast.burst,
            "waiting": dict(seen.waiting),
            "workers": dict(seen.workers),
            "current": {device: dict(models) for device, models in seen.current.items()},
            "pinned": {device: dict(models) for device, models in seen.pinned.items()},
            "corrections": {device: correction.to_json() for device, correction in self.corrections.items()},
            "quality": {
                lv: round(float(q), 4) for lv, q in zip(self.policy.levels, seen.sample.mean(axis=0), strict=True)
            }
            if len(seen.sample)
            else {},
        }


class Scheduler:
    """Plans for one family, tick by tick. Between ticks it remembers the forecast and the profile's corrections."""

    def __init__(self, family: Family, policy: str | None = None) -> None:
        self.family = family
        self.live = Live(family, policy)
        self._failed: deque[dict[str, Any]] = deque(maxlen=FAILURES)  # ticks whose row could not be written yet

    def tick(self) -> int | None:
        """One turn of the loop; returns the new epoch, or None when the plan in force stays."""
        started = time.perf_counter()
        try:
            self._record_failures()
            with transaction() as session:
                seen = self.observe(session)
            epoch = seen.policy.plan(seen.observation) if seen else None
            number = self.record(seen, epoch, time.perf_counter() - started) if seen and epoch else None
            self.serve(seen, number)
        except Exception as error:
            log.exception("tick failed; the plan in force stays")
            self.record_failure(error, time.perf_counter() - started)
            return None
        return number

    def serve(self, seen: Seen | None, number: int | None) -> None:
        """Bring workers and what waits in line with the plan in force."""
        with transaction() as session:
            moment = self.live.moment(session, fresh=True)
        if number is not None:
            self.realign(moment)
            self.restore_batch_work(moment)
        self.remap(moment, seen.steady if seen else set())
        remap.verify(moment.workers)

    # observe and forecast

    def observe(self, session: Session) -> Seen | None:
        """Demand, backlog, workers, profiles; None while there is no worker with a profile to plan for."""
        forecast = self.live.demand.ahead(session, settings().tick_s)
        workers = observe.live_workers(session, self.family)
        measured = observe.profiles(self.family, [worker.device_type for worker in workers], strict=True)
        if not measured:
            return None
        observe.remember_profiles(session, measured)
        corrections = self._corrections(session, measured)
        policy = self.live.policy_for(list(measured), corrections)
        assert policy is not None
        assigned = remap.assignments(session, workers)
        steady = remap.steady(assigned, datetime.now(UTC))
        planned = [worker for worker in remap.intended(workers, assigned) if worker.device_type in measured]
        sample, floors = self._sample(session, policy)
        observation = Observation(
            now=time.time(),
            rate=forecast.rate,
            error=forecast.error,
            sample=sample,
            floors=floors,
            waiting=observe.waiting_by_level(session, self.family),
            workers=Counter(worker.device_type for worker in planned),
            current=self._held(planned, policy),
            pinned=self._held([worker for worker in planned if worker.name in steady], policy),
            tick_s=settings().tick_s,
            switch_cost=_switch_cost(policy),
        )
        return Seen(workers, policy, forecast, observation, corrections, steady)

    def _corrections(self, session: Session, measured: Mapping[str, Profile]) -> dict[str, Correction]:
        """How each type of device behaves now, against its profile."""
        before = self.live.corrections(session)
        return {
            device: learned(
                profile,
                observe.timings(session, device),
                observe.preparations(session, device),
                before.get(device, Correction()),
            )
            for device, profile in measured.items()
        }

    def _held(self, workers: list[LiveWorker], policy: Policy) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for worker in workers:
            held = self.live.holding(worker, policy)
            if held is not None:
                of_type = found.setdefault(worker.device_type, {})
                of_type[held] = of_type.get(held, 0) + 1
        return found

    def _sample(self, session: Session, policy: Policy) -> tuple[np.ndarray, np.ndarray]:
        """Predicted qualities (N×L) and floors (N) of the newest requests."""
        newest = select(Request.qualities, Request.min_quality).where(
            Request.family == self.family.id, func.jsonb_typeof(Request.qualities) == "object"
        )
        rows = session.execute(newest.order_by(Request.accepted_at.desc()).limit(SAMPLE)).all()
        means = dict(zip(policy.levels, policy.cluster.quality, strict=True))
        sample = [[known.get(level, means[level]) for level in policy.levels] for known, _ in rows]
        return np.array(sample).reshape(len(rows), len(policy.levels)), np.array([floor or 0.0 for _, floor in rows])

    # record

    def record(self, seen: Seen, epoch: Epoch, seconds: float) -> int:
        """The new plan comes into force; returns its epoch."""
        with transaction() as session:
            session.execute(update(tables.Plan).where(tables.Plan.in_force).values(in_force=False))
            row = tables.Plan(
                policy=seen.policy.name,
                status=epoch.plan.status,
                in_force=True,
                observed=seen.to_json(),
                decided=epoch.to_json(),
                reason=explain(seen, epoch),
                seconds=seconds,
            )
            session.add(row)
            session.flush()
            return row.epoch

    def record_failure(self, error: Exception, seconds: float) -> None:
        """A failed tick is a row too; while the database cannot be reached it waits for the next tick that can."""
        self._failed.append(
            {
                "created_at": datetime.now(UTC),
                "policy": self.live.name,
                "status": "failed",
                "in_force": False,
                "observed": {},
                "decided": {},
                "reason": f"{type(error).__name__}: {error}",
                "seconds": seconds,
            }
        )
        try:
            self._record_failures()
        except SQLAlchemyError as away:
            log.warning("failed tick not recorded yet", error=str(away).splitlines()[0])

    def _record_failures(self) -> None:
        if not self._failed:
            return
        with transaction() as session:
            session.add_all([tables.Plan(**failed) for failed in self._failed])
        self._failed.clear()

    # re-align, remap

    def realign(self, moment: Moment) -> int:
        """Give what waits the levels of the new plan; returns how many changed. Levels asked for by name stay."""
        policy, epoch = moment.policy, moment.epoch
        if policy is None or epoch is None:
            return 0
        rows = self._waiting(policy)
        levels = policy.realign(
            [(as_request(row, quality_of(row, policy)), row.level) for row in rows], epoch, moment.scene
        )
        moved, published = self._moves(policy, moment, rows, levels)
        if not moved:
            return 0
        changed = change_levels(moved, epoch.number, f"{policy.name}, re-aligned in epoch {epoch.number}")
        self._publish_moved([i for i in published if i in changed])
        return len(changed)

    def _moves(
        self, policy: Policy, moment: Moment, rows: Sequence[Any], levels: Sequence[str]
    ) -> tuple[dict[Any, str], list[Any]]:
        """New levels by id, and the ids whose message has to move too: the most urgent of them, the others with the next tick."""
        moved: dict[Any, str] = {}
        published: list[Any] = []
        for row, level in zip(rows, levels, strict=True):
            if level == row.level or not moment.open(level):
                continue
            if not self._same_workers(policy, row.level, level):
                if len(published) == REPUBLISHED:
                    continue
                published.append(row.id)
            moved[row.id] = level
        return moved, published

    def restore_batch_work(self, moment: Moment) -> int:
        """Batch work that was routed while nobody served the reference level waits for that again; returns how much."""
        if not moment.open(self.family.reference):
            return 0
        return restore_reference(self.family.id, self.family.reference)

    def _same_workers(self, policy: Policy, before: str, after: str) -> bool:
        """Whether the same workers serve both levels: then the message in the old queue serves as well."""
        return policy.shared and self.family.level(before).model == self.family.level(after).model

    def _publish_moved(self, ids: list[Any]) -> None:
        with transaction() as session:
            rows = list(session.scalars(select(Request).where(Request.id.in_(ids), Request.state == State.QUEUED)))
        publish_requests(rows)

    def _waiting(self, policy: Policy) -> list[Any]:
        """Queued requests that may change level, the most urgent first: just the columns that decide."""
        columns = (
            Request.id,
            Request.prompt,
            Request.accepted_at,
            Request.deadline_at,
            Request.min_quality,
            Request.service_class,
            Request.attempts,
            Request.level,
            Request.qualities,
        )
        query = (
            select(*columns)
            .where(Request.family == self.family.id, Request.state == State.QUEUED)
            .where(Request.level_asked == "auto", Request.level.in_(policy.levels))
            .where(Request.service_class == ServiceClass.INTERACTIVE, ~Request.deadline_unreachable)
            .order_by(Request.deadline_at)
            .limit(REALIGNED)
        )
        with transaction() as session:
            return list(session.execute(query))

    def remap(self, moment: Moment, steady: set[str]) -> None:
        """Workers that are to hold something else are told so."""
        with transaction() as session:
            workers = remap.intended(moment.workers, remap.assignments(session, moment.workers))
            needed = observe.levels_asked_for(session, self.family)
            epoch = session.scalar(select(func.max(tables.Plan.epoch)))
        wanted = moment.epoch.plan.workers if moment.epoch else {}
        wished = remap.changes(
            self.family, workers, lambda worker: self.live.holding(worker, moment.policy), wanted, needed, steady
        )
        if wished and epoch is not None:
            remap.order(epoch, wished)


def explain(seen: Seen, epoch: Epoch) -> str:
    """The plan in a sentence or two, for people."""
    rate = 60 * seen.observation.rate
    waiting = sum(seen.observation.waiting.values())
    shares = sorted(epoch.shares.items(), key=lambda item: -item[1])
    load = ", ".join(f"{level} {share:.0%}" for level, share in shares if share >= 0.005) or "no load"
    held = ", ".join(f"{n}× {model}" for model, n in sorted(epoch.held.items()))
    shed = sum(epoch.plan.shed.values())
    parts = [
        f"{rate:.1f} requests/min expected{' (burst)' if seen.forecast.burst else ''}, {waiting} waiting",
        held,
        load,
    ]
    if shed > 0.05:
        parts.append(f"{shed:.1f} requests/min more than the cluster carries at any level")
    if epoch.plan.reason:
        parts.append(epoch.plan.reason)
    return "; ".join(parts)


def _switch_cost(policy: Policy) -> float:
    """What a switch must gain, in quality × requests a minute: the work not done while loading, over the dwell time."""
    dwell = remap.DWELL.total_seconds()
    costs = [
        level.load_s / dwell * level.requests_per_minute
        for profile in policy.cluster.profiles.values()
        for level in profile.levels
        if level.id == profile.reference.id
    ]
    return max(costs, default=0.0)
