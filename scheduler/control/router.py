"""The router: accepted requests get their level, are committed as queued, then published.

::

    Route(job) ─▶ read accepted rows ─▶ predict ─▶ choose ─▶ commit (level, why) ─▶ publish Generate ─▶ note when

It stands off the request's path, in a worker of its own, and takes what waits in small batches (`core.batching`): a
lone request waits for nobody. Hard constraints come first: a level asked for by name, then the floor. Without a
profile, a plan or a worker it sends to the reference level, so nothing is ever stuck.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import numpy as np
import structlog
from sqlalchemy import select

from core.database import transaction
from core.families import Family
from core.publishing import publish_requests
from core.requests import Choice, route
from core.tables import Request, ServiceClass, State
from scheduler.observation.snapshot import Live, Moment, as_request
from scheduler.policies import Policy

log = structlog.get_logger(__name__)
MOST = 500  # requests of one commit: a job of thousands lets others in between


class Router:
    """Routes the requests of one family."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.live = Live(family)

    def route(self, job_ids: Sequence[uuid.UUID]) -> int:
        """Route all accepted requests of these jobs; returns how many."""
        routed = 0
        while batch := self._accepted(job_ids):
            with transaction() as session:
                moment = self.live.moment(session)
                self.live.quality.look(session)
            sent = route(self.choose(batch, moment), moment.epoch.number if moment.epoch else 0)
            if not sent:  # somebody else had them
                break
            publish_requests(
                [request for request in sent if not request.deadline_unreachable]
            )  # the others are found by their rows
            routed += len(sent)
        return routed

    def choose(self, requests: Sequence[Request], moment: Moment) -> list[Choice]:
        """A level for each request, under the plan in force."""
        policy = moment.policy
        if policy is None:
            return [self._without_plan(request, "no profile of these devices yet") for request in requests]
        try:
            offers = zip(requests, *self.live.quality.of(requests, policy), strict=True)
            return [self._one(request, quality, near, policy, moment) for request, quality, near in offers]
        except Exception:
            log.exception("routing failed")
            return [self._without_plan(request, "routing failed") for request in requests]

    def _one(self, request: Request, quality: np.ndarray, near: float, policy: Policy, moment: Moment) -> Choice:
        if request.level_asked != "auto":
            level, note = request.level_asked, "asked for"
        elif moment.epoch is None or request.service_class == ServiceClass.BATCH:
            why = "no plan in force yet" if moment.epoch is None else "batch work, when there is room"
            level, note = self.family.reference, why
        else:
            seen = as_request(request, quality.tolist(), float(near))
            level, note = policy.route(seen, moment.epoch, moment.scene), f"{policy.name}, epoch {moment.epoch.number}"
        if request.level_asked == "auto" and not moment.open(level):
            level, note = self._open(quality, policy, moment, request.min_quality or 0.0), f"nobody serves {level}"
        self.live.note(level)
        known = dict(zip(policy.levels, (round(float(value), 4) for value in quality), strict=True))
        return Choice(request, level, note, known.get(level), known)

    def _open(self, quality: np.ndarray, policy: Policy, moment: Moment, floor: float) -> str:
        """The best level that somebody serves; the reference level when it is nobody's, or none reaches the floor."""
        served = [i for i, level in enumerate(policy.levels) if moment.open(level) and quality[i] >= floor]
        return policy.levels[max(served, key=lambda i: quality[i])] if served else self.family.reference

    def _without_plan(self, request: Request, why: str) -> Choice:
        if request.level_asked != "auto":
            return Choice(request, request.level_asked, "asked for")
        return Choice(request, self.family.reference, why)

    def _accepted(self, job_ids: Sequence[uuid.UUID]) -> list[Request]:
        waiting = (Request.job_id.in_(job_ids), Request.state == State.ACCEPTED, Request.family == self.family.id)
        query = select(Request).where(*waiting).order_by(Request.accepted_at, Request.position).limit(MOST)
        with transaction() as session:
            return list(session.scalars(query))
