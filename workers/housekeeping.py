"""A worker's sign of life, and what it looks after on the way: cancelled requests, idle places, attempts nobody is at."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from core import open_requests, requests, workers
from core.celery import publish
from core.messages import SCHEDULER_QUEUE, Reconcile
from workers.tasks import Generation

log = structlog.get_logger(__name__)
EVERY_S = 3.0
CANCEL_EVERY_S = 1.0


class Heartbeat:
    """A thread that writes the worker's row every three seconds until stopped."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self.state = "starting"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ready(self) -> None:
        """The worker consumes now."""
        self.state = "ready"
        self._quietly(self._beat)

    def posted(self) -> None:
        """The worker has another post: the row says so now, and what waits where nobody serves any more is looked for."""
        self.generation.follow_post()
        self._quietly(self._beat)
        publish(SCHEDULER_QUEUE, [Reconcile()])

    def stop(self) -> None:
        """Say that this worker has left, and beat no more."""
        self._stop.set()
        self.state = "stopped"
        self._quietly(self._beat)

    def _run(self) -> None:
        rounds = round(EVERY_S / CANCEL_EVERY_S)
        turn = 0
        while not self._stop.wait(CANCEL_EVERY_S):
            self._quietly(self._obey_cancels)
            self._quietly(self.generation.drop_parked)
            self._quietly(self.generation.fill)
            turn = (turn + 1) % rounds
            if turn == 0:
                self._quietly(self._beat)
                self._quietly(self._return_orphans)

    def _quietly(self, move: Any) -> None:
        try:
            move()
        except SQLAlchemyError as error:
            log.warning("database away", worker=self.generation.me.name, error=str(error).splitlines()[0])

    def _beat(self) -> None:
        posting = self.generation.posting
        stats = {**self.generation.engine.stats(), "open": len(self.generation.open), "problem": posting.problem}
        post = posting.post
        held = {"models": list(post.models), "queues": list(post.queues)}
        mine = workers.beat(self.generation.me, state=self.state, stats=stats, **held)
        if not mine and not self._stop.is_set():
            log.error("another process took this worker's name; leaving", worker=self.generation.me.name)
            self._stop.set()
            os.kill(os.getpid(), signal.SIGTERM)

    def _obey_cancels(self) -> None:
        for request in open_requests.cancelled_among(list(self.generation.open)):
            self.generation.engine.cancel(str(request))

    def _return_orphans(self) -> None:
        """Attempts recorded as ours that no thread is at: the database was away when one should have ended."""
        me = self.generation.me
        left = [a.id for a in workers.open_attempts(me, earlier=False) if a.request_id not in self.generation.open]
        if left:
            requests.release(left, "lost", "The worker could not record how this attempt ended.", "worker_lost")
