"""The router: accepted requests get their level, are committed as queued, then published.

::

    Route(job) ─▶ read accepted rows ─▶ predict ─▶ choose ─▶ commit (level, why) ─▶ publish Generate

It runs off the request's path, in a worker of its own, and takes what waits in small batches (`core.batching`): a lone
request waits for no batch to fill. Hard constraints come first: a level asked for by name, then the floor. Without a
profile, a plan or a worker it sends to the reference level, so nothing is ever stuck.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import numpy as np
import structlog
from sqlalchemy import select

from core.celery import publish
from core.database import transaction
from core.families import Family
from core.messages import SCHEDULER_QUEUE, Tick
from core.publishing import publish_requests
from core.requests import Choice, route
from core.tables import Request, ServiceClass, State
from scheduler.observation.snapshot import Snapshot, SnapshotReader, as_request
from scheduler.policies import Policy
from scheduler.prediction.predictions import QualityPredictions

log = structlog.get_logger(__name__)
BATCH = 500  # requests of one commit: a job of thousands lets others in between


class Router:
    """Routes the requests of one family."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.reader = SnapshotReader(family)
        self.predictions = QualityPredictions(family)

    def route(self, job_ids: Sequence[uuid.UUID]) -> int:
        """Route all accepted requests of these jobs; returns how many."""
        routed = 0
        while batch := self._accepted(job_ids):
            with transaction() as session:
                snapshot = self.reader.snapshot(session)
                self.predictions.refresh(session)
            sent = route(self.choose(batch, snapshot), snapshot.epoch.number if snapshot.epoch else 0)
            if not sent:  # somebody else had them
                break
            publish_requests(
                [request for request in sent if not request.deadline_unreachable]
            )  # the others are found by their rows
            routed += len(sent)
            if any(not snapshot.is_served(request.level) for request in sent):
                publish(
                    SCHEDULER_QUEUE, [Tick()]
                )  # somebody asked for a level that nobody serves: not at the next tick
        return routed

    def choose(self, requests: Sequence[Request], snapshot: Snapshot) -> list[Choice]:
        """A level for each request, under the plan in force."""
        policy = snapshot.policy
        if policy is None:
            return [self._without_plan(request, "no profile of these devices yet") for request in requests]
        try:
            means = dict(zip(policy.levels, policy.cluster.quality, strict=True))
            predicted = zip(requests, *self.predictions.predict(requests, means), strict=True)
            return [self._choice(request, quality, near, policy, snapshot) for request, quality, near in predicted]
        except Exception:
            log.exception("routing failed")
            return [self._without_plan(request, "routing failed") for request in requests]

    def _choice(self, request: Request, quality: np.ndarray, near: float, policy: Policy, snapshot: Snapshot) -> Choice:
        if request.level_asked != "auto":
            level, note = request.level_asked, "asked for"
        elif snapshot.epoch is None or request.service_class == ServiceClass.BATCH:
            why = "no plan in force yet" if snapshot.epoch is None else "batch work, when there is room"
            level, note = self.family.reference, why
        else:
            asked = as_request(request, quality.tolist(), float(near))
            level, note = (
                policy.route(asked, snapshot.epoch, snapshot.load),
                f"{policy.name}, epoch {snapshot.epoch.number}",
            )
        if request.level_asked == "auto" and not snapshot.is_served(level):
            level, note = (
                self._best_served(quality, policy, snapshot, request.min_quality or 0.0),
                f"nobody serves {level}",
            )
        self.reader.count_routed(level)
        known = dict(zip(policy.levels, (round(float(value), 4) for value in quality), strict=True))
        return Choice(request, level, note, known.get(level), known)

    def _best_served(self, quality: np.ndarray, policy: Policy, snapshot: Snapshot, floor: float) -> str:
        """The best level that somebody serves; the reference level when it is nobody's, or none reaches the floor."""
        served = [i for i, level in enumerate(policy.levels) if snapshot.is_served(level) and quality[i] >= floor]
        return policy.levels[max(served, key=lambda i: quality[i])] if served else self.family.reference

    def _without_plan(self, request: Request, why: str) -> Choice:
        if request.level_asked != "auto":
            return Choice(request, request.level_asked, "asked for")
        return Choice(request, self.family.reference, why)

    def _accepted(self, job_ids: Sequence[uuid.UUID]) -> list[Request]:
        waiting = (Request.job_id.in_(job_ids), Request.state == State.ACCEPTED, Request.family == self.family.id)
        query = select(Request).where(*waiting).order_by(Request.accepted_at, Request.position).limit(BATCH)
        with transaction() as session:
            return list(session.scalars(query))
