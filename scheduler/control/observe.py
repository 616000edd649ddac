"""What a tick reads before it decides: demand, backlog, workers, profiles, corrections, a sample of recent prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.families import Family
from core.open_requests import in_foreground
from core.profiles import Profile
from core.settings import settings
from core.tables import Request, ServiceClass, State
from scheduler.control.decide import Situation, WorkerState, by_model
from scheduler.control.remap import Assigned, assigned, intended
from scheduler.observation import queries
from scheduler.observation.calibration import Correction, learned
from scheduler.observation.forecast import Forecast
from scheduler.observation.queries import LiveWorker
from scheduler.observation.snapshot import Snapshot, SnapshotReader, as_request, floor_of, quality_of
from scheduler.observation.target import latency_target_s
from scheduler.policies import Policy

SAMPLE = 256  # recent requests whose predicted qualities stand for those to come
LOOKED_AT = 4 * SAMPLE  # of which some may have been routed without a prediction
REALIGNED = 10_000  # waiting requests that a tick may move, most urgent first
COLUMNS = (  # of a waiting request: just those that decide
    *(Request.id, Request.prompt, Request.accepted_at, Request.deadline_at, Request.min_quality),
    *(Request.service_class, Request.attempts, Request.level, Request.qualities, Request.loras),
)


@dataclass(frozen=True)
class Observed:
    """What a tick saw. Without a worker whose profile is known there is no `policy` and nothing to decide on.

    `workers` are as they were told to be; `waiting` and `batch` are the rows of the situation's. `corrections` are what
    live timings make of the profiles, by device type.
    """

    snapshot: Snapshot
    workers: Sequence[LiveWorker]
    dwelling: frozenset[str]
    forecast: Forecast
    corrections: Mapping[str, Correction]
    waiting: Sequence[Any]
    batch: Sequence[Any]
    policy: Policy | None = None
    situation: Situation | None = None

    def to_json(self) -> dict[str, Any]:
        """For the plan's row: numbers, without the sample."""
        policy, situation = self.policy, self.situation
        if policy is None or situation is None:
            return {}
        means = situation.sample.mean(axis=0) if len(situation.sample) else ()
        workers = by_model(situation.workers)
        return {
            "rate": round(situation.rate, 4),
            "error": round(situation.error, 4),
            "burst": self.forecast.burst,
            "waiting": dict(situation.queued),
            "named": {level: round(rate, 4) for level, rate in situation.named.items()},
            "workers": {device: sum(models.values()) for device, models in workers.items()},
            "current": workers,
            "pinned": by_model([worker for worker in situation.workers if worker.dwelling]),
            "corrections": {device: correction.to_json() for device, correction in self.corrections.items()},
            "quality": {lv: round(float(q), 4) for lv, q in zip(policy.levels, means, strict=False)},
        }


class Observer:
    """Reads one family's situation. The forecaster and the snapshot live on in the reader between ticks."""

    def __init__(self, family: Family, reader: SnapshotReader) -> None:
        self.family, self.reader = family, reader

    def observe(self, session: Session) -> Observed:
        snapshot = self.reader.snapshot(session, fresh=True)
        forecast = self.reader.demand.ahead(session, settings().tick_s, len(snapshot.readings.in_front) > 1)
        known = assigned(session, snapshot.workers)
        workers = intended(snapshot.workers, known)
        dwelling = frozenset(name for name, it in known.items() if self._state(it).dwelling)
        measured = queries.profiles(self.family, [worker.device_type for worker in workers], strict=True)
        if not measured:
            return Observed(snapshot, workers, dwelling, forecast, {}, (), ())
        queries.remember_profiles(session, measured)
        corrections = self._corrections(session, measured)
        planned = [worker for worker in workers if worker.device_type in measured]
        policy = self.reader.policy_for(planned, corrections, latency_target_s(session, self.family))
        assert policy is not None
        waiting, batch = self._waiting(session, policy), self._batch(session, policy)
        sample, floors = self._sample(session, policy)
        situation = Situation(
            rate=forecast.rate,
            error=forecast.error,
            sample=sample,
            floors=floors,
            queued=queries.waiting_by_level(session, self.family, named=False),
            waiting=[(as_request(row, quality_of(row, policy)), row.level) for row in waiting],
            workers=[self._worker(w, known.get(w.name), policy) for w in planned],
            load=snapshot.load,
            tick_s=settings().tick_s,
            batch=[(as_request(r, quality_of(r, policy)), "" if r.level_asked == "auto" else r.level) for r in batch],
            unread=queries.unread_batch(session, self.family),
            memory=queries.memory_by_type(workers),
            named=self._named(session, policy),
            scores=queries.relative_scores(session, self.family) if policy.reviews_all else {},
        )
        return Observed(snapshot, workers, dwelling, forecast, corrections, waiting, batch, policy, situation)

    def _worker(self, worker: LiveWorker, told: Assigned | None, policy: Policy) -> WorkerState:
        loaded_s = told.loaded_s if told else float("inf")
        loading = told is not None and told.row.verified_at is None and loaded_s == 0.0
        return WorkerState(worker.name, worker.device_type, self.reader.model_of(worker, policy), loaded_s, loading)

    @staticmethod
    def _state(told: Assigned) -> WorkerState:
        return WorkerState(told.row.worker, "", None, told.loaded_s)

    def _corrections(self, session: Session, measured: Mapping[str, Profile]) -> dict[str, Correction]:
        """How each type of device behaves now, against its profile."""
        before = self.reader.corrections(session)
        return {
            device: learned(
                profile,
                queries.timings(session, self.family, device),
                queries.preparations(session, device),
                queries.fetch_s(session, self.family, device),
                before.get(device, Correction()),
            )
            for device, profile in measured.items()
        }

    def _sample(self, session: Session, policy: Policy) -> tuple[np.ndarray, np.ndarray]:
        """Predicted qualities (N×L) and floors (N) of the newest requests whose level is the policy's to choose."""
        newest = (
            select(Request.qualities, Request.min_quality, Request.loras)
            .where(Request.family == self.family.id)
            .where(Request.service_class == ServiceClass.INTERACTIVE, Request.level_asked == "auto")
            .order_by(Request.accepted_at.desc())
            .limit(LOOKED_AT)
            .subquery()
        )
        predicted = select(newest).where(func.jsonb_typeof(newest.c.qualities) == "object")
        rows = session.execute(predicted.limit(SAMPLE)).all()
        means = dict(zip(policy.levels, policy.cluster.quality, strict=True))
        sample = [[known.get(level, means[level]) for level in policy.levels] for known, _, _ in rows]
        return np.array(sample).reshape(len(rows), len(policy.levels)), np.array([floor_of(row) for row in rows])

    def _named(self, session: Session, policy: Policy) -> dict[str, float]:
        """Requests a second for named levels: as they came, and what waits cleared within one target latency."""
        rates = queries.named_rates(session, self.family)
        for level, waiting in queries.waiting_by_level(session, self.family, named=True).items():
            rates[level] = rates.get(level, 0.0) + waiting / policy.cluster.slo_s
        return rates

    def _waiting(self, session: Session, policy: Policy) -> list[Any]:
        """Queued requests that may change level, the most urgent first.

        Levels asked for by name stay, and so do batch work that has time and requests whose deadline cannot be met.
        """
        query = (
            select(*COLUMNS)
            .where(Request.family == self.family.id, Request.state == State.QUEUED)
            .where(Request.level_asked == "auto", Request.level.in_(policy.levels))
            .where(in_foreground())
            .order_by(Request.deadline_at)
            .limit(REALIGNED)
        )
        return list(session.execute(query))

    def _batch(self, session: Session, policy: Policy) -> list[Any]:
        """Queued batch work that still fills idle capacity, the earliest deadline first."""
        query = (
            select(*COLUMNS, Request.level_asked)
            .where(Request.family == self.family.id, Request.state == State.QUEUED, Request.level.in_(policy.levels))
            .where(Request.service_class == ServiceClass.BATCH, ~Request.urgent, ~Request.deadline_unreachable)
            .order_by(Request.deadline_at)
            .limit(REALIGNED)
        )
        return list(session.execute(query))
