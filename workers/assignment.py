"""Which models a worker holds and which queues it serves, kept equal to its newest assignment.

Remote control is pub/sub: a worker that was away missed it. So the row in PostgreSQL counts; it is read at boot, every
few seconds, and at once when the command `assign` arrives. New queues are consumed before old ones are cancelled, and
a model whose queues were cancelled stays held while memory allows: a cancelled queue can still deliver one message.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from celery.worker.control import control_command
from sqlalchemy import func, select, update

from core.database import transaction
from core.families import Family
from core.tables import Assignment
from core.workers import WorkerIdentity

if TYPE_CHECKING:
    from celery.worker.consumer import Consumer

    from workers.engine.engine import Engine

log = structlog.get_logger(__name__)
READ_EVERY_S = 10.0
SETTLE_S = 15.0  # the consumer's thread may be reconnecting


@dataclass(frozen=True)
class Post:
    """What a worker is to hold and serve: models, and those of their levels' queues that are its own."""

    models: tuple[str, ...]
    queues: tuple[str, ...]

    @staticmethod
    def of(family: Family, models: Sequence[str], queues: Sequence[str] | None = None) -> Post:
        """These models with the queues of all their levels, unless named. Raises `KeyError` for an unknown model."""
        every = family.queues_of([family.models[model].id for model in models])
        return Post(tuple(models), tuple(every if queues is None else (q for q in queues if q in every)))


class Posting:
    """Where this worker is posted. The engine may hold more models than its post names.

    Args:
        rows_of: the requests of each model that are worth running at once.
    """

    def __init__(self, me: WorkerIdentity, family: Family, engine: Engine, rows_of: Mapping[str, int]) -> None:
        self.me = me
        self.family = family
        self.engine = engine
        self.rows_of = rows_of
        self.post = Post((), ())
        self.problem: str | None = None
        self.on_change: Callable[[], object] = lambda: None  # told when the post is another
        self._consumer: Consumer | None = None
        self._ordered: Post | None = None  # by command; the row confirms it
        self._wake = threading.Event()

    @property
    def places(self) -> int:
        """Requests that this worker takes at once, at its post."""
        return max((self.rows_of[model] for model in self.post.models), default=1)

    def levels(self) -> list[str]:
        """Ids of the levels this worker serves."""
        return [level for level in self.family.levels if self.family.queue(level) in self.post.queues]

    def could_serve(self) -> list[str]:
        """Ids of all levels of the models in memory: a cancelled queue can still deliver one message."""
        return [level.id for model in self.engine.loaded() for level in self.family.levels_of(model)]

    def take_up(self) -> None:
        """At boot: hold what was assigned last, else the model of the reference level."""
        row = self._newest()
        self._apply(self._of(row) if row else self._default(), row)

    def _default(self) -> Post:
        return Post.of(self.family, [self.family.level(self.family.reference).model])

    def _of(self, row: Assignment) -> Post:
        """An assignment, as far as the family still has its models."""
        known = [model for model in row.models if model in self.family.models]
        return Post.of(self.family, known, row.queues) if known else self._default()

    def follow(self, consumer: Consumer) -> None:
        """From now on follow assignments, in a thread of its own (loading takes long). Called at every reconnect."""
        first, self._consumer = self._consumer is None, consumer
        consumer.controller.max_concurrency = self.places
        if not first:
            return
        threading.Thread(target=self._follow, name="assignment", daemon=True).start()

    def assign(self, models: Sequence[str], queues: Sequence[str] | None = None) -> Post:
        """Be told; returns at once with what will be served. Raises `KeyError` for a model there is not."""
        self._ordered = Post.of(self.family, models, queues)
        self._wake.set()
        return self._ordered

    def wake_consumer(self) -> None:
        """A slot is free: have the consumer look for a message now, not at its next turn."""
        if self._consumer is not None:
            self._consumer.call_soon(_nothing)

    def _follow(self) -> None:
        while True:
            self._wake.wait(READ_EVERY_S)
            self._wake.clear()
            try:
                self._read()
            except Exception as error:
                self.problem = str(error)
                log.warning("assignment not taken up", worker=self.me.name, error=repr(error))

    def _read(self) -> None:
        """Take up what was ordered or assigned last, when it is something new."""
        ordered, self._ordered = self._ordered, None
        row = self._newest()
        wanted = self._of(row) if row is not None else ordered or self.post
        if wanted != self.post or (row is not None and row.applied_at is None):
            self._apply(wanted, row)

    def _newest(self) -> Assignment | None:
        newest = select(Assignment).where(Assignment.worker == self.me.name).order_by(Assignment.id.desc()).limit(1)
        with transaction() as session:
            return session.scalar(newest)

    def _apply(self, post: Post, row: Assignment | None) -> None:
        """Load, add, then cancel; the row learns that it was done."""
        for model in post.models:
            if model not in self.engine.loaded():
                self.engine.load(model)
        served = self._served()
        self._in_consumer("add_task_queue", [queue for queue in post.queues if queue not in served])
        self.post = post
        if self._consumer is not None:
            self._consumer.controller.max_concurrency = self.places  # what `worker_disable_prefetch` goes by
        self._in_consumer("cancel_task_queue", [queue for queue in served if queue not in post.queues])
        self.problem = None
        self.on_change()
        log.info("posted", worker=self.me.name, models=post.models, queues=len(post.queues))
        if row is not None:
            with transaction() as session:
                session.execute(update(Assignment).where(Assignment.id == row.id).values(applied_at=func.now()))

    def _served(self) -> list[str]:
        """The queues that the consumer really takes from, also while it reconnects."""
        return list(self._consumer.app.amqp.queues.consume_from) if self._consumer is not None else []

    def _in_consumer(self, move: str, queues: list[str]) -> None:
        """Add or cancel queues in the consumer's thread and wait for it; before there is one, nothing needs doing."""
        consumer = self._consumer
        if consumer is None or not queues:
            return
        done: Future[None] = Future()

        def run() -> None:
            try:
                for queue in queues:
                    getattr(consumer, move)(queue)
                done.set_result(None)
            except Exception as error:
                done.set_exception(error)

        consumer.call_soon(run)
        done.result(SETTLE_S)


def _nothing() -> None:
    """Waking the loop is all."""


def register_command(posting: Posting) -> None:
    """Teach this process's Celery worker the remote control command `assign(models=[…])`."""

    @control_command(name="assign", args=[("models", list)], signature="<model> [model …]")
    def assign(state: Any, models: list[str], queues: list[str] | None = None, **_: Any) -> dict[str, Any]:
        """Hold these models and serve their queues."""
        try:
            return {"ok": list(posting.assign(models, queues).queues)}
        except KeyError as error:
            return {"error": f"no model {error} in family {posting.family.id}"}
