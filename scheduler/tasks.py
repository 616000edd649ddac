"""The scheduler's Celery tasks: route, tick, sweep, learn. Thin: each calls one function that says what it does."""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING

from core.families import Family
from core.messages import Learn, Route, Sweep, Tick
from scheduler.learn import Learner
from scheduler.router import Router
from scheduler.sweep import sweep
from scheduler.tick import Scheduler
from workers.batching import Batcher

if TYPE_CHECKING:
    from celery import Celery

JOBS = 100  # of one micro-batch


def register_tasks(app: Celery, family: Family) -> None:
    """Give the Celery app of this process the scheduler's tasks for one family."""
    router = Batcher("router", Router(family).route, JOBS)
    scheduler = Scheduler(family)
    learner = Learner(family)
    ticking, sweeping, learning = threading.Lock(), threading.Lock(), threading.Lock()

    @app.task(name=Route.task)
    def route(job_id: str) -> None:
        router.do(uuid.UUID(job_id))

    @app.task(name=Tick.task)
    def tick() -> None:
        if ticking.acquire(blocking=False):  # a tick that comes while one is at work is late: the next will do
            try:
                scheduler.tick()
            finally:
                ticking.release()

    @app.task(name=Sweep.task)
    def sweeping_up() -> None:
        if sweeping.acquire(blocking=False):
            try:
                sweep(family)
            finally:
                sweeping.release()

    @app.task(name=Learn.task)
    def learn() -> None:
        if learning.acquire(blocking=False):
            try:
                learner.learn()
            finally:
                learning.release()
