"""The scheduler's Celery tasks: route, review, tick, sweep, learn. Thin: each calls one function that says what it does."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from core.families import Family
from core.messages import Learn, Review, Route, Sweep, Tick
from scheduler.learn import Learner
from scheduler.review import review
from scheduler.router import Router
from scheduler.sweep import sweep
from scheduler.tick import Scheduler
from workers.batching import Batcher

if TYPE_CHECKING:
    from celery import Celery

JOBS = 100  # of one micro-batch


def register_tasks(app: Celery, family: Family) -> None:
    """Give the Celery app of this process the scheduler's tasks for one family."""
    routing = Router(family)
    router = Batcher("router", routing.route, JOBS)
    scheduler, learner, alone = Scheduler(family), Learner(family), OneAtATime()

    @app.task(name=Route.task)
    def route(job_id: str) -> None:
        router.do(uuid.UUID(job_id))

    @app.task(name=Review.task)
    def look_at(request_id: str) -> None:
        review(routing.live, uuid.UUID(request_id))

    @app.task(name=Tick.task)
    def tick() -> None:
        alone("tick", scheduler.tick)

    @app.task(name=Sweep.task)
    def sweep_up() -> None:
        routing.live.forget()  # a worker with another post asks for a sweep: what is routed again must know of it
        alone("sweep", lambda: sweep(family))

    @app.task(name=Learn.task)
    def learn() -> None:
        alone("learn", learner.learn)


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
