"""A worker's way from a message to a stored image: claim the row, let go of the database, run the engine, record.

Messages may be lost or come twice; the claim decides. A message whose row is taken or finished changes nothing.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import structlog

from core import open_requests, queued_requests, requests
from core.database import patiently
from core.errors import ArgusError, Cancelled, DeviceFailed, ModelNotHeld
from core.families import Family
from core.images import ImageStore
from core.requests import DEVICE_FAILED, Claim
from core.settings import settings
from core.tables import Request
from core.workers import WorkerIdentity
from scheduler.policies import Started
from workers.admission import PolicyAdmission, claim, claim_background, claim_owed
from workers.allowed_levels import allowed_levels
from workers.assignment import AssignmentFollower
from workers.claims import Claims
from workers.company import Company
from workers.engine.request import GenerationRequest, GenerationResult
from workers.recording import Recorder

if TYPE_CHECKING:
    from workers.engine.engine import Engine
    from workers.measure.calibrate import Calibration

log = structlog.get_logger(__name__)


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
        self.recorder = Recorder(family, images, self.stopping)
        self.admission, self.means = admission, means or {}
        self.claims = Claims(admission.share, settings().stale_s)
        self._company = Company()
        self.calibration: Calibration | None = None  # what the reference level takes here, alone
        self.slots = ThreadPoolExecutor(engine.max_batch + 1, thread_name_prefix="background")
        self.claiming = threading.Lock()

    def generate(self, request_id: uuid.UUID, epoch: int) -> None:
        """From a message to a stored image, for the request that the policy gives the slot to (`workers.admission`)."""
        claimed = self._claim() or self._claim(request_id, epoch)
        while claimed is not None:
            self.follower.limit_messages(self.claims.messages)  # the next is taken when this is claimed
            for request in self.claims.preempt():
                self.engine.preempt(str(request))
            done = self.run(claimed)  # who was not let beside what a worker runs has no message any more
            claimed = self._claim() if done or self.admission.passed_over else None

    def _claim(self, request_id: uuid.UUID | None = None, epoch: int = 0) -> Claim | None:
        """Claim what the policy gives the slot to; with an id this one, if it comes from a queue that was cancelled."""
        if self.stopping.is_set():
            return None
        with self.claiming:  # one at a time: what is claimed is `running` before the next looks
            if request_id is not None and not self.claims.lapsed:
                claimed = _from_cancelled_queue(request_id, epoch, self.family, self.identity, self.follower)
            elif self.claims.has_room:
                claimed = self.claim_beside(self.claims.foreground)
            else:
                self.admission.passed_over, claimed = True, None
            if claimed is not None:
                self.claims.add(claimed)
            return claimed

    def claim_beside(self, others: list[Claim]) -> Claim | None:
        """Claim what the policy lets start beside these; the caller has the lock `claiming`."""
        beside = [_started(other, self.engine, self.admission.length(other.request)) for other in others]
        return claim(self.family, self.identity, self.follower.levels(), self.admission, beside)

    def fill(self) -> None:
        """Start background work on a worker that has nothing else to do, and now and then what is owed a start."""
        if self.admission.passed_over and self.claims.has_room and (claimed := self._claim()):
            self.slots.submit(self.run, claimed)
        self._start_owed()
        while not self.stopping.is_set() and self.claims.has_idle_room:
            with self.claiming:
                claimed = claim_background(self.family, self.identity, self.follower.levels(), self.admission)
                if claimed is None:
                    return
                self.claims.add(claimed, background=True)
            self.slots.submit(self._run_and_fill, claimed)

    def _start_owed(self) -> None:
        """Start a request that missed its deadline long ago; no other takes its slot. Alone it is background work."""
        if self.stopping.is_set() or self.claims.lapsed or not self.claims.foreground:
            return
        with self.claiming:
            claimed = claim_owed(self.family, self.identity, self.follower.levels(), self.admission)
            if claimed is not None:
                self.claims.add(claimed)
        if claimed is not None:
            self.slots.submit(self.run, claimed)

    def follow_assignment(self) -> None:
        """The assignment has changed: what runs at a level that is no longer offered moves on at the next step."""
        for claimed in list(self.claims.running.values()):
            self.engine.allow(str(claimed.request.id), self._allowed(claimed.request))

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

    def _allowed(self, request: Request) -> tuple[str, ...]:
        offered = self.follower.levels() if self.admission.moves else ()
        return allowed_levels(self.family, request, offered, self.means)

    def _run_and_fill(self, claimed: Claim) -> None:
        self.run(claimed)
        self.fill()

    def run(self, claimed: Claim) -> bool:
        """Whether it ended with an image that was stored."""
        alone = False
        try:
            alone = claimed.number > 1 and patiently(lambda: open_requests.suspected(claimed.request.id))
            asked = generation_request(claimed, self.family, self._allowed(claimed.request))
            with self._company.turn(alone):
                result = self.engine.submit(asked).result()
            if self.recorder.store(claimed, result):
                self._calibrate(result, time.time() - result.times.admitted)
                return True
        except Cancelled as error:
            if claimed.request.id in self.claims.preempted:
                self._release(claimed, error, alone)
            else:
                patiently(lambda: requests.cancel(claimed))
        except Exception as error:
            self._release(claimed, error, alone)
        finally:
            for request in self.claims.remove(claimed):
                self.engine.hold(str(request), held=False)
        return False

    def _calibrate(self, result: GenerationResult, seconds: float) -> None:
        """A request at the reference level that ran alone shows what that takes now."""
        if _is_usual(result, self.family) and self.calibration is not None and len(self.claims.running) == 1:
            self.calibration = self.calibration.corrected(seconds)

    def _release(self, claimed: Claim, error: Exception, alone: bool) -> None:
        """This attempt made no image: back into the queue, or failed when its attempts are used up."""
        preempted = claimed.request.id in self.claims.preempted
        outcome, code, reason = _end(error, preempted, self.stopping.is_set(), alone)
        log.warning("attempt ended", request=str(claimed.request.id), outcome=outcome, code=code, reason=reason)
        patiently(lambda: requests.release([claimed.attempt], outcome, reason, code))


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


def _is_usual(result: GenerationResult, family: Family) -> bool:
    """Whether it was the reference level at its usual size and steps, in no batch."""
    usual, alone = family.defaults, result.level_id == family.reference and result.batch_max == 1
    return alone and (result.steps_run, *result.image.size) == (usual.steps, usual.width, usual.height)


def _end(error: Exception, preempted: bool, stopping: bool, alone: bool) -> tuple[str, str, str]:
    """Outcome, code and reason of an attempt that made no image."""
    code = error.code if isinstance(error, ArgusError) else "internal"
    reason = error.message if isinstance(error, ArgusError) else repr(error)
    if preempted:
        return "returned", code, f"Preempted by a request with a latency target. {reason}"
    if isinstance(error, DeviceFailed) and error.ran:
        return ("failed" if alone else DEVICE_FAILED), code, f"{reason} It {'was alone' if alone else 'had company'}."
    if stopping or isinstance(error, ModelNotHeld | DeviceFailed):
        return "returned", code, "The worker stopped; the request went back to its queue."
    return "failed", code, reason


def _started(claim: Claim, engine: Engine, length: float) -> Started:
    """A claim as the policy sees it; `length` is what all of it takes, relative to a usual request."""
    request, running = claim.request, engine.find(str(claim.request.id))
    left = length * (running.share_left if running else 1.0)
    return Started(request.deadline_at.timestamp(), str(request.level), left)


def generation_request(claimed: Claim, family: Family, allowed: tuple[str, ...]) -> GenerationRequest:
    """A claimed row as the engine takes it; `allowed` are the levels it may be moved to."""
    request = claimed.request
    return GenerationRequest(
        request_id=str(request.id),
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        seed=request.seed,
        level=family.level(request.level or family.reference),
        steps=request.steps,
        guidance=request.guidance,
        width=request.width,
        height=request.height,
        deadline=request.deadline_at.timestamp(),
        allowed_levels=allowed,
        attempt=claimed.number,
    )
