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
from dataclasses import replace

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
from scheduler.control import reasons
from scheduler.observation.snapshot import Snapshot, SnapshotReader, as_request
from scheduler.policies import Epoch, Policy
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
            publish_requests([r for r in sent if not r.deadline_unreachable])  # the others are found by their rows
            routed += len(sent)
            if any(not snapshot.is_served(request.level) for request in sent):
                publish(SCHEDULER_QUEUE, [Tick()])  # a level that nobody serves was asked for: do not wait for beat
        return routed

    def choose(self, requests: Sequence[Request], snapshot: Snapshot) -> list[Choice]:
        """A level for each request, under the plan in force."""
        policy = snapshot.policy
        if policy is None:
            return [self._without_plan(request, reasons.NO_PROFILE) for request in requests]
        try:
            means = dict(zip(policy.levels, policy.cluster.quality, strict=True))
            mean, similarity = self.predictions.predict(requests, means)
            quality = self.predictions.held_to_floors(requests, mean, list(means))
            seen = zip(requests, quality, similarity, strict=True)
            choices = [self._choice(request, row, near, policy, snapshot) for request, row, near in seen]
            return [_expecting(choice, row, policy) for choice, row in zip(choices, mean, strict=True)]
        except Exception:
            log.exception("routing failed")
            return [self._without_plan(request, reasons.FAILED) for request in requests]

    def _choice(self, request: Request, quality: np.ndarray, near: float, policy: Policy, snapshot: Snapshot) -> Choice:
        known = dict(zip(policy.levels, (round(float(value), 4) for value in quality), strict=True))
        interactive = request.service_class == ServiceClass.INTERACTIVE
        by_policy = interactive and request.level_asked == "auto"
        if request.level_asked != "auto":
            level, note = request.level_asked, reasons.ASKED_FOR
        elif snapshot.epoch is None or not interactive:
            level, note = self.family.reference, reasons.BATCH if snapshot.epoch else reasons.NO_PLAN
        else:
            level, note = self._by_policy(request, known, near, policy, snapshot, snapshot.epoch)
        if request.level_asked == "auto" and not snapshot.is_served(level):
            note = reasons.not_served(level)
            level = self._best_served(known, snapshot, request.min_quality or 0.0)
        if interactive:
            self.reader.count_routed(level, by_policy)
        return Choice(request, level, note, known.get(level), known)

    def _by_policy(
        self, request: Request, known: dict[str, float], near: float, policy: Policy, snapshot: Snapshot, epoch: Epoch
    ) -> tuple[str, str]:
        load = self.reader.load_now(snapshot)
        level = policy.route(as_request(request, list(known.values()), float(near)), epoch, load)
        return level, reasons.routed(level, self.family.reference, known.get(level), epoch, load)

    def _best_served(self, known: dict[str, float], snapshot: Snapshot, floor: float) -> str:
        """The best level that somebody serves; the reference level when it is nobody's, or none reaches the floor."""
        served = [level for level, quality in known.items() if snapshot.is_served(level) and quality >= floor]
        return max(served, key=known.__getitem__) if served else self.family.reference

    def _without_plan(self, request: Request, why: str) -> Choice:
        if request.level_asked != "auto":
            return Choice(request, request.level_asked, reasons.ASKED_FOR)
        return Choice(request, self.family.reference, why)

    def _accepted(self, job_ids: Sequence[uuid.UUID]) -> list[Request]:
        waiting = (Request.job_id.in_(job_ids), Request.state == State.ACCEPTED, Request.family == self.family.id)
        query = select(Request).where(*waiting).order_by(Request.accepted_at, Request.position).limit(BATCH)
        with transaction() as session:
            return list(session.scalars(query))


def _expecting(choice: Choice, mean: np.ndarray, policy: Policy) -> Choice:
    """The choice with the mean (L,) that is predicted at its level, where a floor made it a lower bound."""
    known = policy.index.get(choice.level)
    return choice if known is None else replace(choice, quality=round(float(mean[known]), 4))
