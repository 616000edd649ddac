"""What a worker does beside generating: heartbeat, cancelled requests, idle slots, attempts without a thread."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping

import structlog
from sqlalchemy.exc import SQLAlchemyError

from core import open_requests, requests, workers
from core.attempts import RETURNED
from core.celery import publish
from core.messages import SCHEDULER_QUEUE, Reconcile, Tick
from workers.generation import Generation
from workers.giving_way import LOOK_S, look

log = structlog.get_logger(__name__)
LOOKS = 4  # for who should go first, in a round of a second
BEATS_EVERY = 3  # rounds between two heartbeats
ORPHANS_EVERY = 30  # rounds: there are some only after the database was away


class Housekeeping:
    """A thread that looks after the worker every second until stopped, and writes its row every third.

    Args:
        about: facts of the device that the row tells beside the engine's figures, e.g. `memory_mb`.
    """

    def __init__(self, generation: Generation, about: Mapping[str, float] | None = None) -> None:
        self.generation = generation
        self.about = dict(about or {})
        self.identity = generation.identity
        self.state = "starting"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin; the worker's row exists already."""
        self._thread.start()

    def ready(self) -> None:
        """The worker consumes now: it is to be planned with at once, not at the next tick."""
        self.state = "ready"
        self._unless_away(self._beat)
        publish(SCHEDULER_QUEUE, [Tick()])

    def assignment_changed(self) -> None:
        """The row says so at once, and what waits where nobody serves any more is looked for."""
        self.generation.follow_assignment()
        self._unless_away(self._beat)
        publish(SCHEDULER_QUEUE, [Reconcile()])

    def stop(self) -> None:
        """Say that this worker has left, and beat no more."""
        self._stop.set()
        self.state = "stopped"
        self._unless_away(self._beat)

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
        if self.state == "ready" and not self.generation.claims.running:
            self.generation.engine.preload()
        if number % BEATS_EVERY == 0:
            self._unless_away(self._beat)
        if number % ORPHANS_EVERY == 0:
            self._unless_away(self._release_orphans)

    def _unless_away(self, work: Callable[[], object]) -> None:
        """Do it; a database that is away is logged, and the next round tries again."""
        try:
            work()
        except SQLAlchemyError as error:
            log.warning("database away", worker=self.identity.name, error=str(error).splitlines()[0])

    def _beat(self) -> None:
        follower = self.generation.follower
        stats = {
            **self.about,
            **self.generation.engine.stats(),
            "open": len(self.generation.claims.running),
            "problem": follower.problem,
            "exact_s": self.generation.execution.calibration and self.generation.execution.calibration.exact_s,
        }
        held = {"models": list(follower.current.models), "queues": list(follower.current.queues)}
        began = time.monotonic()
        mine = workers.beat(self.identity, state=self.state, stats=stats, **held)
        if mine:
            self.generation.claims.renew(began)
        if not mine and not self._stop.is_set():
            log.error("another process took this worker's name; leaving", worker=self.identity.name)
            self._stop.set()
            os.kill(os.getpid(), signal.SIGTERM)

    def _obey_cancellations(self) -> None:
        running = list(self.generation.claims.running)
        if not running or not self.generation.admission.somebody_cancelled():
            return
        for request in open_requests.cancelled_among(running):
            self.generation.engine.cancel(str(request))

    def _release_orphans(self) -> None:
        """Attempts recorded as ours that no thread is at: the database was away when one should have ended."""
        at_hand = {claim.attempt for claim in list(self.generation.claims.running.values())}
        left = [a.id for a in workers.open_attempts(self.identity, earlier=False) if a.id not in at_hand]
        if left:
            requests.release(left, RETURNED, "The worker could not record how this attempt ended.", "worker_lost")
