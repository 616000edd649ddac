"""The scheduler's Celery tasks: route, escalate, tick, reconcile, check files, learn. Each calls one function."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from core.batching import Batcher
from core.database import patiently
from core.families import Family
from core.messages import CheckFiles, Escalate, Learn, Reconcile, Route, Tick
from core.receiving import receive
from scheduler.control.escalate import escalate
from scheduler.control.files import FilesAndRows
from scheduler.control.lost_workers import LostWorkers
from scheduler.control.reconcile import reconcile
from scheduler.control.router import Router
from scheduler.control.tick import Scheduler
from scheduler.control.trim import Trimmer
from scheduler.prediction.retrain import Learner

if TYPE_CHECKING:
    from celery import Celery

JOBS = 100  # of one micro-batch


def register_tasks(app: Celery, family: Family) -> None:
    """Give the Celery app of this process the scheduler's tasks for one family."""
    routing = Router(family)
    routing.predictions.warm_up()
    router = Batcher("router", routing.route, JOBS)
    scheduler, learner, alone = Scheduler(family), Learner(family), OneAtATime()
    trim, lost_workers, files = Trimmer(), LostWorkers(), FilesAndRows(family)

    def check_score(request_id: str) -> None:
        patiently(lambda: escalate(routing.reader, uuid.UUID(request_id)))

    def reconcile_rows() -> None:
        routing.reader.invalidate()  # a worker asks for this when its assignment changes: routing must know of it
        alone("reconcile", lambda: reconcile(family, lost_workers))

    def learn() -> None:
        alone("learn", learner.learn)
        alone("trim", trim)

    receive(app, Route, lambda job_id: router.do(uuid.UUID(job_id)))
    receive(app, Escalate, check_score)
    receive(app, Tick, lambda: alone("tick", scheduler.tick))
    receive(app, Reconcile, reconcile_rows)
    receive(app, CheckFiles, lambda: alone("files", files.turn))
    receive(app, Learn, learn)


class OneAtATime:
    """Periodic work: what comes due while the turn before still goes on is dropped; the next will do."""

    def __init__(self) -> None:
        self._busy: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, name: str, work: Callable[[], object]) -> None:
        with self._lock:
            if name in self._busy:
                return
            self._busy.add(name)
        try:
            work()
        finally:
            self._busy.discard(name)
