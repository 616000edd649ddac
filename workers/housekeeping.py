"""What a worker does beside generating: cancelled requests, idle slots, attempts without a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from core import open_requests, requests, workers
from core.attempts import RETURNED
from core.celery import publish
from core.messages import SCHEDULER_QUEUE, Reconcile, Tick
from workers.generation import Generation
from workers.giving_way import LOOK_S, look
from workers.heartbeat import Heartbeat

log = structlog.get_logger(__name__)
LOOKS = 4  # for who should go first, in a round of a second
ORPHANS_EVERY = 5  # rounds: there are some only after the database was away
PROBES_EVERY = 5  # rounds: so old is what is known of the latent cache


class Housekeeping:
    """A thread that looks after the worker every second until stopped."""

    def __init__(self, generation: Generation, heartbeat: Heartbeat) -> None:
        self.generation, self.heartbeat = generation, heartbeat
        self.identity = generation.identity
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin, and the heartbeat with it; the worker's row exists already."""
        self.heartbeat.start()
        self.generation.execution.progress.start()
        self._thread.start()

    def ready(self) -> None:
        """The worker consumes now: it is to be planned with at once, not at the next tick."""
        self.heartbeat.state = "ready"
        self.heartbeat.beat()
        publish(SCHEDULER_QUEUE, [Tick()])

    def assignment_changed(self) -> None:
        """The row says so at once, and what waits where nobody serves any more is looked for."""
        self.generation.follow_assignment()
        self.heartbeat.beat()
        publish(SCHEDULER_QUEUE, [Reconcile()])

    def stop(self) -> None:
        """Say that this worker has left, and look after it no more."""
        self._stop.set()
        self.generation.execution.progress.stop()
        self.heartbeat.stop()

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(LOOK_S):
            number += 1
            self._unless_away(lambda: look(self.generation))
            if number % LOOKS == 0:
                self.round(number // LOOKS)

    def round(self, number: int) -> None:
        """What is due in the round of this number."""
        self._unless_away(self._obey_cancellations)
        self._unless_away(self.generation.forget_preempted)
        self._unless_away(self.generation.fill)
        if self.heartbeat.state == "ready" and not self.generation.claims.running:
            self.generation.engine.preload()
        if number % ORPHANS_EVERY == 0:
            self._unless_away(self._release_orphans)
        if number % PROBES_EVERY == 0 and self.generation.engine.cache is not None:
            self.generation.engine.cache.probe()

    def _unless_away(self, work: Callable[[], object]) -> None:
        """Do it; a database that is away is logged, and the next round tries again."""
        try:
            work()
        except SQLAlchemyError as error:
            log.warning("database away", worker=self.identity.name, error=str(error).splitlines()[0])

    def _obey_cancellations(self) -> None:
        running = list(self.generation.claims.running)
        if not running or not self.generation.admission.somebody_cancelled():
            return
        for request in open_requests.cancelled_among(running):
            self.generation.engine.cancel(str(request))

    def _release_orphans(self) -> None:
        """End attempts of ours that no thread is at: the database was away when one began, or should have ended."""
        with self.generation.claiming:  # what is claimed is noted before anybody looks
            opened = workers.open_attempts(self.identity, earlier=False)
            at_hand = {claim.attempt for claim in list(self.generation.claims.running.values())}
        left = [attempt.id for attempt in opened if attempt.id not in at_hand]
        if left:
            requests.release(left, RETURNED, "The worker could not record how this attempt ended.", "worker_lost")
