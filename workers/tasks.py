"""The generation task: claim the row, let go of the database, run the engine, store, record, publish `Judge`.

Messages may be lost or come twice; the claim decides. A message whose row is taken or finished changes nothing.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from core.celery import publish
from core.database import transaction
from core.errors import ArgusError, Cancelled, ModelNotHeld
from core.families import Family
from core.images import ImageStore
from core.messages import QUALITY_QUEUE, Generate, Judge
from core.tables import Request, ServiceClass, State
from workers import rows
from workers.admission import Admission, claim
from workers.assignment import Posting
from workers.engine.order import Order, Outcome
from workers.rows import Claim, Me

if TYPE_CHECKING:
    from celery import Celery

    from workers.engine.engine import Engine

log = structlog.get_logger(__name__)
PATIENCE_S = 60.0  # how long a finished image waits for a database that is away
Answer = TypeVar("Answer")


class Generation:
    """A worker's way from message to stored image. `open` are the requests it is at, for heartbeat and stop."""

    def __init__(
        self, me: Me, family: Family, engine: Engine, posting: Posting, images: ImageStore, admission: Admission
    ) -> None:
        self.me = me
        self.family = family
        self.engine = engine
        self.posting = posting
        self.images = images
        self.admission = admission
        self.places = engine.max_batch + 1  # one more than run: it is encoded meanwhile
        self.open: dict[uuid.UUID, Request] = {}
        self._yielding: set[uuid.UUID] = set()
        self._claiming = threading.Lock()
        self.stopping = threading.Event()

    def generate(self, request_id: uuid.UUID, epoch: int) -> None:
        """From a message to a stored image."""
        if self.stopping.is_set():
            return
        with self._claiming:  # one at a time: the claimed is `open` before the next looks
            claimed = self._claim(request_id, epoch)
            if claimed is None:
                return
            self.open[claimed.request.id] = claimed.request
        try:
            self._run(claimed)
        finally:
            del self.open[claimed.request.id]
            self._yielding.discard(claimed.request.id)

    def _run(self, claimed: Claim) -> None:
        try:
            outcome = self.engine.submit(self._order(claimed.request)).result()
            self._keep(claimed, outcome)
        except Cancelled as error:
            if claimed.request.id in self._yielding:
                self._give_up(claimed, error)
            else:
                patiently(lambda: rows.cancel(claimed))
        except Exception as error:
            self._give_up(claimed, error)

    def batch_work(self) -> list[uuid.UUID]:
        """Open requests without a latency target, the one begun last at the end."""
        return [i for i, request in list(self.open.items()) if request.service_class == ServiceClass.BATCH]

    def give_place(self, request_id: uuid.UUID) -> None:
        """Put a request back into its queue at the next step, for the benefit of others."""
        self._yielding.add(request_id)
        self.engine.cancel(str(request_id))

    def _claim(self, request_id: uuid.UUID, epoch: int) -> Claim | None:
        """The request that this message's place is given to; rarely the one it names (`workers.admission`)."""
        claimed = claim(self.family, self.me, self.posting.levels(), self.admission)
        if claimed is None:
            claimed = rows.take(request_id, self.me, self.family, self.posting.could_serve())
        if claimed is None:
            self._mark_unserved(request_id, epoch)
        return claimed

    def _mark_unserved(self, request_id: uuid.UUID, epoch: int) -> None:
        """A message can come from a queue given up a moment ago. If it was its row's own, the sweep sends another."""
        waiting = (Request.id == request_id, Request.state == State.QUEUED, Request.epoch == epoch)
        with transaction() as session:
            if session.scalar(select(Request.id).where(*waiting)):
                session.execute(update(Request).where(*waiting).values(published_at=None))

    def _order(self, request: Request) -> Order:
        level = self.family.level(request.level or self.family.reference)
        asked = request.level_asked != "auto"
        return Order(
            request_id=str(request.id),
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            seed=request.seed,
            level=level,
            steps=request.steps,
            guidance=request.guidance,
            width=request.width,
            height=request.height,
            deadline=request.deadline_at.timestamp(),
            allowed_levels=(level.id,) if asked else (),
        )

    def _keep(self, claimed: Claim, outcome: Outcome) -> None:
        """Image to the store, timings to the database, its id to the quality worker."""
        image_id = uuid.uuid4()
        stored = self.images.put(image_id, outcome.image, self._text(claimed.request, outcome))
        if patiently(lambda: rows.store(claimed, outcome, image_id, stored, self.family.version)):
            publish(QUALITY_QUEUE, [Judge(str(image_id))])
        else:  # cancelled, or given up for lost, in the last moment
            self.images.delete(stored.key)

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
            outcome, reason = "returned", "Batch work gave its place to a request with a latency target."
        elif self.stopping.is_set() or isinstance(error, ModelNotHeld):
            outcome, reason = "returned", "The worker stopped; the request went back to its queue."
        log.warning("attempt ended", request=str(claimed.request.id), outcome=outcome, code=code, reason=reason)
        patiently(lambda: rows.release([claimed.attempt], outcome, reason, code))


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
