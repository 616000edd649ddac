"""The generation task: claim the row, let go of the database, run the engine, store, record, publish `ScoreImage`.

Messages may be lost or come twice; the claim decides. A message whose row is taken or finished changes nothing.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from sqlalchemy.exc import OperationalError

from core import open_requests, requests
from core.celery import publish
from core.errors import ArgusError, Cancelled, ModelNotHeld
from core.families import Family
from core.images import ImageStore, Stored
from core.messages import QUALITY_QUEUE, Generate, ScoreImage
from core.requests import Claim
from core.tables import Image, Request
from core.workers import WorkerIdentity
from workers.admission import PolicyAdmission, claim, claim_background
from workers.allowed_levels import allowed
from workers.assignment import Posting
from workers.engine.request import Order, Outcome

if TYPE_CHECKING:
    from celery import Celery

    from workers.engine.engine import Engine

log = structlog.get_logger(__name__)
PATIENCE_S = 60.0  # how long a finished image waits for a database that is away
Answer = TypeVar("Answer")


class Generation:
    """A worker's way from message to stored image.

    `open` are the requests it is at. Those in the `background` (set aside, batch) fill a worker that has nothing else,
    and give their place back at the next step when somebody with a latency target needs it. What runs follows the post:
    see `workers.allowed_levels`.

    Args:
        means: relative quality by level, from the profile.
    """

    def __init__(
        self,
        me: WorkerIdentity,
        family: Family,
        engine: Engine,
        posting: Posting,
        images: ImageStore,
        admission: PolicyAdmission,
        means: Mapping[str, float] | None = None,
    ) -> None:
        self.me = me
        self.family = family
        self.engine = engine
        self.posting = posting
        self.images = images
        self.admission = admission
        self.means = means or {}
        self.open: dict[uuid.UUID, Claim] = {}
        self.background: dict[uuid.UUID, Claim] = {}
        self._yielding: set[uuid.UUID] = set()
        self._desk = ThreadPoolExecutor(engine.max_batch + 1, thread_name_prefix="background")
        self._claiming = threading.Lock()
        self.stopping = threading.Event()
        posting.on_change = self.follow_post

    @property
    def places(self) -> int:
        """Requests that run at once."""
        return self.posting.places

    def generate(self, request_id: uuid.UUID, epoch: int) -> None:
        """From a message to a stored image, for whoever the policy gives the place to (`workers.admission`)."""
        if self.stopping.is_set():
            return
        with self._claiming:  # one at a time: the claimed is `open` before the next looks
            running = len(self.open) - len(self.background)
            claimed = claim(self.family, self.me, self.posting.levels(), self.admission, running)
            claimed = claimed or self._stray(request_id, epoch)
            if claimed is None:
                return
            self.open[claimed.request.id] = claimed
        self._take_place()
        self._run(claimed)

    def fill(self) -> None:
        """Start background work on a worker that has nothing else to do."""
        while not self.stopping.is_set() and len(self.background) == len(self.open) < self.places:
            with self._claiming:
                claimed = claim_background(self.family, self.me, self.posting.levels())
                if claimed is None:
                    return
                self.background[claimed.request.id] = self.open[claimed.request.id] = claimed
            self._desk.submit(self._run_and_fill, claimed)

    def _run_and_fill(self, claimed: Claim) -> None:
        self._run(claimed)
        self.fill()

    def follow_post(self) -> None:
        """The post has changed: what runs at a level that is no longer offered moves on at the next step."""
        for claimed in list(self.open.values()):
            self.engine.allow(str(claimed.request.id), self._allowed(claimed.request))

    def _allowed(self, request: Request) -> tuple[str, ...]:
        offered = self.posting.levels() if self.admission.moves else ()
        return allowed(self.family, request, offered, self.means)

    def stop(self, drain_s: float) -> None:
        """Begin nothing more; what is open ends within `drain_s` seconds or goes back to its queue."""
        self.stopping.set()
        self.engine.stop(drain_s)
        self._desk.shutdown(wait=True)

    def _take_place(self) -> None:
        """Background work leaves at its next step, as far as the places do not suffice."""
        staying = [request for request in list(self.background) if request not in self._yielding]
        for request in staying[: max(0, len(self.open) - len(self._yielding) - self.places)]:
            self._yielding.add(request)
            self.engine.park(str(request))

    def drop_parked(self) -> None:
        """Forget where requests stood that wait no longer: another worker has them, or nobody wants them."""
        with self._claiming:  # what this worker takes again is `open` before anybody looks
            parked = {uuid.UUID(request) for request in self.engine.parked()} - set(self.open)
            if parked:
                self.engine.unpark(map(str, parked - set(open_requests.queued_among(list(parked)))))

    def _stray(self, request_id: uuid.UUID, epoch: int) -> Claim | None:
        """A message can come from a queue given up a moment ago: its own row, while the model is still in memory."""
        strange = sorted(set(self.family.levels) - set(self.posting.levels()))
        held = set(self.posting.could_serve())
        claimed = requests.claim(
            request_id, self.me, self.family.model_of, [level for level in strange if level in held]
        )
        if claimed is None:
            requests.unpublish(request_id, epoch, strange)  # reconciliation sends it to whoever serves it
        return claimed

    def _run(self, claimed: Claim) -> None:
        request = claimed.request.id
        try:
            outcome = self.engine.submit(self._order(claimed)).result()
            self._keep(claimed, outcome)
        except Cancelled as error:
            if request in self._yielding:
                self._give_up(claimed, error)
            else:
                patiently(lambda: requests.cancel(claimed))
        except Exception as error:
            self._give_up(claimed, error)
        finally:
            self._yielding.discard(request)
            self.background.pop(request, None)
            del self.open[request]

    def _order(self, claimed: Claim) -> Order:
        request = claimed.request
        return Order(
            request_id=str(request.id),
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            seed=request.seed,
            level=self.family.level(request.level or self.family.reference),
            steps=request.steps,
            guidance=request.guidance,
            width=request.width,
            height=request.height,
            deadline=request.deadline_at.timestamp(),
            allowed_levels=self._allowed(request),
            attempt=claimed.number,
        )

    def _keep(self, claimed: Claim, outcome: Outcome) -> None:
        """Image to the store, timings to the database, its id to the quality worker."""
        image_id = uuid.uuid4()
        stored = self.images.put(image_id, outcome.image, self._text(claimed.request, outcome))
        if patiently(lambda: requests.finish(claimed, *self._record(claimed, outcome, image_id, stored))):
            publish(QUALITY_QUEUE, [ScoreImage(str(image_id))])
        else:  # cancelled, or given up for lost, in the last moment
            self.images.delete(stored.key)

    def _record(
        self, claimed: Claim, outcome: Outcome, image_id: uuid.UUID, stored: Stored
    ) -> tuple[Image, dict[str, Any], float]:
        """The image's row, the attempt's columns, and the seconds since the last step."""
        image = Image(
            id=image_id,
            request_id=claimed.request.id,
            attempt_id=claimed.attempt,
            key=stored.key,
            width=outcome.image.width,
            height=outcome.image.height,
            bytes=stored.bytes,
            sha256=stored.sha256,
            level=outcome.level_id,
            model=outcome.model_id,
            family_version=self.family.version,
        )
        return image, measured(outcome), time.time() - outcome.times.denoised

    def _text(self, request: Request, outcome: Outcome) -> dict[str, str]:
        """What the PNG says of itself."""
        values = {
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "seed": request.seed,
            "level": outcome.level_id,
            "model": outcome.model_id,
            "family": f"{self.family.id} {self.family.version}",
            "steps": outcome.steps_run,
            "guidance": request.guidance,
            "software": "Argus",
        }
        return {name: str(value) for name, value in values.items() if value != ""}

    def _give_up(self, claimed: Claim, error: Exception) -> None:
        """This attempt made no image: back into the queue, or failed when its attempts are used up."""
        code = error.code if isinstance(error, ArgusError) else "internal"
        reason = error.message if isinstance(error, ArgusError) else repr(error)
        outcome = "failed"
        if claimed.request.id in self._yielding:
            outcome, reason = "returned", f"Background work gave its place to a request with a latency target. {reason}"
        elif self.stopping.is_set() or isinstance(error, ModelNotHeld):
            outcome, reason = "returned", "The worker stopped; the request went back to its queue."
        log.warning("attempt ended", request=str(claimed.request.id), outcome=outcome, code=code, reason=reason)
        patiently(lambda: requests.release([claimed.attempt], outcome, reason, code))


def measured(outcome: Outcome) -> dict[str, Any]:
    """An attempt's columns from what the engine measured."""
    times = outcome.times
    return {
        "reason": outcome.reason,
        "level": outcome.level_id,
        "model": outcome.model_id,
        "batch_mean": outcome.batch_mean,
        "batch_max": outcome.batch_max,
        "steps_run": outcome.steps_run,
        "steps_skipped": outcome.steps_skipped,
        "cache_similarity": outcome.cache_similarity,
        "encode_s": times.encoded - times.admitted,
        "wait_s": times.started - times.encoded,
        "denoise_s": times.denoised - times.started,
        "decode_s": times.decoded - times.denoised,
    }


def patiently(move: Callable[[], Answer], patience_s: float = PATIENCE_S) -> Answer:
    """Make a move on the database, again and again while it is away; raises when patience ends."""
    end, wait = time.monotonic() + patience_s, 0.2
    while True:
        try:
            return move()
        except OperationalError:
            if time.monotonic() + wait > end:
                raise
            log.warning("database away", retry_in_s=wait)
            time.sleep(wait)
            wait = min(2 * wait, 5.0)


def register_task(app: Celery, generation: Generation) -> Any:
    """Give the Celery app of this process its generation task."""

    @app.task(name=Generate.task)
    def generate(request_id: str, epoch: int) -> None:
        generation.generate(uuid.UUID(request_id), epoch)
        generation.posting.wake_consumer()

    return generate
