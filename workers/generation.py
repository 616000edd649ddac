"""From a message to a claim: which request a worker begins, when. `workers.execution` runs what was claimed.

Messages may be lost or come twice; the claim decides. A message whose row is taken or finished changes nothing.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from core import open_requests, queued_requests, requests
from core.database import patiently
from core.families import Family
from core.images import ImageStore
from core.requests import Claim
from core.settings import settings
from core.workers import WorkerIdentity
from scheduler.policies import Started
from workers.admission import PolicyAdmission, claim, claim_background, claim_owed
from workers.assignment import AssignmentFollower
from workers.claims import Claims
from workers.execution import Execution

if TYPE_CHECKING:
    from workers.engine.engine import Engine


class Generation:
    """Runs what this worker claims.

    Background work fills a worker that has nothing else, and is preempted at the next step when a request with a
    latency target needs its slot. Levels of what runs follow the assignment: see `workers.allowed_levels`.

    Args:
        means: relative quality by level, from the profile.
    """

    def __init__(
        self,
        identity: WorkerIdentity,
        family: Family,
        engine: Engine,
        follower: AssignmentFollower,
        images: ImageStore,
        admission: PolicyAdmission,
        means: Mapping[str, float] | None = None,
    ) -> None:
        self.identity, self.family = identity, family
        self.engine, self.follower = engine, follower
        self.stopping = threading.Event()
        self.admission = admission
        self.claims = Claims(admission.share, admission.slows, settings().stale_s)
        self.execution = Execution(family, engine, follower, images, self.claims, self.stopping, admission, means or {})
        self.slots = ThreadPoolExecutor(engine.max_batch + 1, thread_name_prefix="background")
        self.claiming = threading.Lock()

    def generate(self, request_id: uuid.UUID, epoch: int) -> None:
        """From a message to a stored image, for the request that the policy gives the slot to (`workers.admission`)."""
        claimed = self._patiently(lambda: self._claim() or self._claim(request_id, epoch))
        while claimed is not None:
            self.follower.limit_messages(self.claims.messages)  # the next is taken when this is claimed
            done = self.execution.run(claimed)  # who was not let beside what a worker runs has no message any more
            claimed = self._patiently(self._claim) if done or self.admission.passed_over else None
        with suppress(SQLAlchemyError):  # at the next look then
            self._fill_idle()

    def _patiently(self, claiming: Callable[[], Claim | None]) -> Claim | None:
        """Claim when the database is there. The message that asked for it is not used up meanwhile, nor are others."""
        try:
            return patiently(claiming, inf, stop=self.stopping)
        except OperationalError:  # and the worker stops
            return None

    def _claim(self, request_id: uuid.UUID | None = None, epoch: int = 0) -> Claim | None:
        """Claim what the policy gives the slot to; with an id this one, if it comes from a queue that was cancelled."""
        if self.stopping.is_set():
            return None
        with self.claiming:  # one at a time: what is claimed is `running` before the next looks
            if request_id is not None and not (self.claims.lapsed or self.claims.alone):
                claimed = _from_cancelled_queue(request_id, epoch, self.family, self.identity, self.follower)
            elif self.claims.has_room:
                claimed = self.claim_beside(self.claims.foreground)
            else:
                self.admission.passed_over, claimed = True, None
            if claimed is not None:
                self.begin(claimed)
            return claimed

    def begin(self, claimed: Claim) -> None:
        """A request with a latency target starts here: background work that is in its way leaves at the next step."""
        self.claims.add(claimed)
        for request in self.claims.preempt():
            self.engine.preempt(str(request))

    def claim_beside(self, others: list[Claim]) -> Claim | None:
        """Claim what the policy lets start beside these; the caller has the lock `claiming`."""
        beside = [_started(other, self.engine, self.admission.length(other.request)) for other in others]
        return claim(self.family, self.identity, self.follower.levels(), self.admission, beside)

    def fill(self) -> None:
        """Start background work on a worker that has nothing else to do, and now and then what is owed a start."""
        if self.admission.passed_over and self.claims.has_room and (claimed := self._claim()):
            self.slots.submit(self.execution.run, claimed)
        self._start_owed()
        self._fill_idle()

    def _fill_idle(self) -> None:
        while not self.stopping.is_set() and self.claims.has_idle_room:
            with self.claiming:
                if not self.claims.has_idle_room:
                    return  # somebody in front has begun meanwhile
                claimed = claim_background(self.family, self.identity, self.follower.levels(), self.admission)
                if claimed is None:
                    return
                self.claims.add(claimed, background=True)
            self.slots.submit(self._run_and_fill, claimed)

    def _start_owed(self) -> None:
        """Start a request that missed its deadline long ago; no other takes its slot. Alone it is background work."""
        if self.stopping.is_set() or self.claims.lapsed or self.claims.alone or not self.claims.foreground:
            return
        with self.claiming:
            claimed = claim_owed(self.family, self.identity, self.follower.levels(), self.admission)
            if claimed is not None:
                self.begin(claimed)
        if claimed is not None:
            self.slots.submit(self.execution.run, claimed)

    def follow_assignment(self) -> None:
        """The assignment has changed: what runs at a level that is no longer offered moves on at the next step."""
        for claimed in list(self.claims.running.values()):
            self.engine.allow(str(claimed.request.id), self.execution.allowed(claimed.request))

    def forget_preempted(self) -> None:
        """Drop the kept state of requests that no longer wait: another worker has them, or nobody wants them."""
        with self.claiming:  # what this worker takes again is `running` before anybody looks
            kept = {uuid.UUID(request) for request in self.engine.preempted()} - set(self.claims.running)
            if kept:
                self.engine.preempted_store.discard(map(str, kept - set(open_requests.queued_among(list(kept)))))

    def stop(self, drain_s: float) -> None:
        """Begin nothing more; what runs ends within `drain_s` seconds or goes back to its queue."""
        self.stopping.set()
        self.engine.stop(drain_s)
        self.wait_for_background()

    def wait_for_background(self) -> None:
        """Return when no background work is at hand; none can be started afterwards."""
        self.slots.shutdown(wait=True)

    def _run_and_fill(self, claimed: Claim) -> None:
        self.execution.run(claimed)
        self.fill()


def _from_cancelled_queue(
    request_id: uuid.UUID, epoch: int, family: Family, identity: WorkerIdentity, follower: AssignmentFollower
) -> Claim | None:
    """A message can come from a queue that was just cancelled: serve its row while the model is still in memory."""
    foreign = sorted(set(family.levels) - set(follower.levels()))
    held = set(follower.levels_in_memory())
    servable = [level for level in foreign if level in held]
    claimed = requests.claim(request_id, identity, family.model_of, servable)
    if claimed is None:
        queued_requests.unpublish(request_id, epoch, foreign)  # reconciliation sends it to whoever serves it
    return claimed


def _started(claim: Claim, engine: Engine, length: float) -> Started:
    """A claim as the policy sees it; `length` is what all of it takes, relative to a usual request."""
    request, running = claim.request, engine.find(str(claim.request.id))
    left = length * (running.share_left if running else 1.0)
    return Started(request.deadline_at.timestamp(), str(request.level), left)
