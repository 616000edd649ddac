"""The router: accepted requests get their level, are committed as queued, then published.

::

    Route(job) ─▶ read accepted rows ─▶ predict ─▶ choose ─▶ commit (level, why) ─▶ publish Generate

It runs off the request's path, in a worker of its own, and takes what waits in small batches (`core.batching`), of each
tenant in turn (`next_to_route`): a lone request waits for no batch to fill, and for nobody's ten thousand. Hard
constraints come first: a level asked for by name, then the floor. A request whose level does not depend on its prompt
is sent first and predicted after: while demand fits, none waits until it is read. Interactive requests go before batch
work, and before what is more than its tenant's share. Of these no more is queued than workers may come to soon: the
rest stays accepted, in the order in which it is drawn, and reconciliation asks again; and nothing is predicted of it
unless it has a floor. Without a profile, a plan or a worker it sends to the reference level, so nothing is ever stuck.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import structlog

from core.celery import publish
from core.database import transaction
from core.families import Family
from core.messages import SCHEDULER_QUEUE, Tick
from core.publishing import publish_requests
from core.queued_requests import keep_predictions
from core.requests import Choice, route
from core.stand_ins import stand_in
from core.tables import Request, ServiceClass
from scheduler.control import reasons
from scheduler.control.next_to_route import Next, next_to_route
from scheduler.control.shares import settle
from scheduler.observation.snapshot import Snapshot, SnapshotReader, able, as_request, floor_of, quality_of
from scheduler.policies import Epoch, Policy
from scheduler.policies.unread import route_unread
from scheduler.prediction.predictions import QualityPredictions

log = structlog.get_logger(__name__)
LATELY_S = 5.0  # longer than readings and snapshots are kept


@dataclass(frozen=True)
class Seen:
    """What is predicted of a request at the policy's levels: the mean quality (L,), the same as decisions take it
    (`held_to_floors`), and the cosine to the nearest cached prompt."""

    mean: np.ndarray
    quality: np.ndarray
    similarity: float

    def by_level(self, policy: Policy) -> dict[str, float]:
        """The quality that decisions take, by level."""
        return dict(zip(policy.levels, (round(float(value), 4) for value in self.quality), strict=True))

    def expected(self, level: str, policy: Policy) -> float | None:
        """The mean at a level; None at one that the policy does not know."""
        known = policy.index.get(level)
        return None if known is None else round(float(self.mean[known]), 4)


class Router:
    """Routes the requests of one family."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.reader = SnapshotReader(family)
        self.predictions = QualityPredictions(family)
        self._routed_at: dict[str, float] = {}  # when something in front was routed of a tenant last

    def route(self) -> int:
        """Route what is accepted, of whichever job, as far as it is its turn; returns how many requests that were."""
        routed = 0
        while True:
            with transaction() as session:
                snapshot = self.reader.snapshot(session)
                self.predictions.refresh(session)
                batch = next_to_route(session, self.family, snapshot, self._lately())
            if not batch.requests:
                break
            unread = self.choose_unread(batch, snapshot)
            sent = self._send(unread, snapshot)
            chosen = {choice.request.id for choice in unread}
            rest = [row for row in batch.requests if row.id not in chosen]
            sent += self._send(self.choose(replace(batch, requests=rest), snapshot), snapshot)
            if not sent:  # somebody else had them
                break
            in_front = {row.tenant for row in batch.requests if _in_front(row, batch)}
            self._routed_at |= dict.fromkeys(in_front, time.monotonic())
            settle(self.family, snapshot, in_front)
            routed += sent
            self._predict_sent(unread, snapshot)
        return routed

    def _lately(self) -> list[str]:
        """Tenants who sent something in front so short a time ago that readings need not know of it."""
        return [tenant for tenant, at in self._routed_at.items() if time.monotonic() < at + LATELY_S]

    def choose_unread(self, batch: Next, snapshot: Snapshot) -> list[Choice]:
        """A level for each request whose level is the same whatever its prompt."""
        policy = snapshot.policy
        if policy is None:
            return []
        try:
            chosen = (self._choice(request, None, policy, snapshot, batch) for request in batch.requests)
            return [choice for choice in chosen if choice]
        except Exception:
            log.exception("routing before prompts are read failed")
            return []

    def choose(self, batch: Next, snapshot: Snapshot) -> list[Choice]:
        """A level for each request, under the plan in force."""
        policy, requests = snapshot.policy, batch.requests
        if policy is None or not requests:
            return [self._without_plan(request, reasons.NO_PROFILE) for request in requests]
        try:
            seen = zip(requests, self._seen(requests, policy), strict=True)
            chosen = (self._choice(request, one, policy, snapshot, batch) for request, one in seen)
            return [choice for choice in chosen if choice]
        except Exception:
            log.exception("routing failed")
            return [self._without_plan(request, reasons.FAILED) for request in requests]

    def _send(self, choices: Sequence[Choice], snapshot: Snapshot) -> int:
        """Commit and publish; returns how many of the requests were still to be routed."""
        if not choices:
            return 0
        sent = route(choices, snapshot.epoch.number if snapshot.epoch else 0)
        publish_requests([r for r in sent if _is_urgent(r)])  # the others are found by their rows
        if any(not snapshot.is_served(request.level) for request in sent):
            publish(SCHEDULER_QUEUE, [Tick()])  # a level that nobody serves was asked for: do not wait for beat
        return len(sent)

    def _predict_sent(self, choices: Sequence[Choice], snapshot: Snapshot) -> None:
        """Predict what was sent unread: plans, re-alignment and late binding go by it."""
        policy, choices = snapshot.policy, [choice for choice in choices if _may_move(choice.request)]
        if policy is None or not choices:
            return
        try:
            seen = self._seen([choice.request for choice in choices], policy)
            keep_predictions(
                (choice.request.id, one.expected(choice.level, policy), one.by_level(policy))
                for choice, one in zip(choices, seen, strict=True)
            )
        except Exception:  # level means stand in
            log.exception("predictions of what was sent failed")

    def _seen(self, requests: Sequence[Request], policy: Policy) -> list[Seen]:
        means = dict(zip(policy.levels, policy.cluster.quality, strict=True))
        mean, similarity = self.predictions.predict(requests, means)
        quality = self.predictions.held_to_floors(requests, mean, list(means))
        return [Seen(*row) for row in zip(mean, quality, similarity.tolist(), strict=True)]

    def _choice(
        self, request: Request, seen: Seen | None, policy: Policy, snapshot: Snapshot, batch: Next
    ) -> Choice | None:
        """The level, and why; None where that takes to have `seen` the request."""
        in_front = _in_front(request, batch)
        by_policy = in_front and request.level_asked == "auto"
        if request.level_asked != "auto":
            level, note = self._asked_for(request)
        elif snapshot.epoch is None or not in_front:
            level, note = self.family.reference, reasons.BATCH if snapshot.epoch else reasons.NO_PLAN
        elif routed := self._by_policy(request, seen, policy, snapshot, snapshot.epoch):
            level, note = routed
        else:
            return None
        if request.level_asked == "auto" and not snapshot.is_served(level):
            if seen is None:
                return None
            note = reasons.not_served(level)
            level = self._best_served(seen.by_level(policy), snapshot, floor_of(request))
        if in_front:
            self.reader.count_routed(level, by_policy)
        if batch.set_aside:
            note = reasons.over_share(request.deadline_at.timestamp() < time.time())
        mean, by_level = (None, None) if seen is None else (seen.expected(level, policy), seen.by_level(policy))
        return Choice(request, level, note, mean, by_level, batch.set_aside)

    def _by_policy(
        self, request: Request, seen: Seen | None, policy: Policy, snapshot: Snapshot, epoch: Epoch
    ) -> tuple[str, str] | None:
        load = self.reader.load_now(snapshot)
        if seen is None:
            level = route_unread(policy, as_request(request, quality_of(request, policy)), epoch, load)
            level = level if level is not None and able(request, level) else None
            quality = None
        else:
            level = policy.route(as_request(request, seen.quality.tolist(), seen.similarity), epoch, load)
            level = level if able(request, level) else self.family.reference
            quality = seen.by_level(policy).get(level)
        return None if level is None else (level, reasons.routed(level, self.family.reference, quality, epoch, load))

    def _best_served(self, known: dict[str, float], snapshot: Snapshot, floor: float) -> str:
        """The best level that somebody serves; the reference level when it is nobody's, or none reaches the floor."""
        served = [level for level, quality in known.items() if snapshot.is_served(level) and quality >= floor]
        return max(served, key=known.__getitem__) if served else self.family.reference

    def _without_plan(self, request: Request, why: str) -> Choice:
        if request.level_asked != "auto":
            return Choice(request, *self._asked_for(request))
        return Choice(request, self.family.reference, why)

    def _asked_for(self, request: Request) -> tuple[str, str]:
        """The level that a request names, or the next one where that is not offered; and why."""
        asked = request.level_asked
        level = stand_in(self.family, asked)
        why = self.family.withheld.get(asked)
        return level, reasons.ASKED_FOR if level == asked else reasons.not_offered(asked, level, why)


def _is_urgent(request: Request) -> bool:
    """Whether its place in line is a message; background work is found by idle workers."""
    return request.service_class == ServiceClass.INTERACTIVE and not request.deadline_unreachable


def _in_front(request: Request, batch: Next) -> bool:
    """Whether it is to wait with those that have a latency target."""
    return request.service_class == ServiceClass.INTERACTIVE and not batch.set_aside


def _may_move(request: Request) -> bool:
    """Whether something must be known of it at other levels; means stand for batch work that becomes urgent."""
    return _is_urgent(request) or request.min_quality is not None
