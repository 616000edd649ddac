"""Which models a worker holds and which queues it serves, kept equal to its newest assignment.

Remote control is pub/sub: a worker that was away missed it. So the row in PostgreSQL counts; it is read at boot, every
few seconds, and at once when the command `assign` arrives. New queues are consumed before old ones are cancelled, and
a model whose queues were cancelled stays in memory while there is room: a cancelled queue can still deliver one
message.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from celery.worker.control import control_command
from sqlalchemy import func, select, update

from core.database import transaction
from core.families import Family
from core.tables import ASSIGNMENT_FORMAT, Assignment
from core.workers import WorkerIdentity

if TYPE_CHECKING:
    from celery.worker.consumer import Consumer

    from workers.engine.engine import Engine

log = structlog.get_logger(__name__)
READ_EVERY_S = 10.0
CONSUMER_S = 15.0  # how long the consumer's thread may take to add or cancel a queue: it may be reconnecting


@dataclass(frozen=True)
class Assigned:
    """What a worker is to hold and serve: models, and those of their levels' queues that are its own."""

    models: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()

    @staticmethod
    def of(family: Family, models: Sequence[str], queues: Sequence[str] | None = None) -> Assigned:
        """These models with the queues of all their levels, unless named. Raises `KeyError` for an unknown model."""
        every = family.queues_of([family.models[model].id for model in models])
        return Assigned(tuple(models), tuple(every if queues is None else (q for q in queues if q in every)))


class AssignmentFollower:
    """Keeps this worker at its newest assignment. The engine may hold more models than the assignment names."""

    def __init__(self, identity: WorkerIdentity, family: Family, engine: Engine) -> None:
        self.identity = identity
        self.family = family
        self.engine = engine
        self.current = Assigned()
        self.problem: str | None = None
        self.on_change: Callable[[], object] = lambda: None  # called when the assignment is another
        self._consumer: Consumer | None = None
        self._messages = 1
        self._commanded: Assigned | None = None  # by remote control; the row confirms it
        self._wake = threading.Event()

    def levels(self) -> list[str]:
        """Ids of the levels this worker serves."""
        return [level for level in self.family.levels if self.family.queue(level) in self.current.queues]

    def levels_in_memory(self) -> list[str]:
        """Ids of all levels of the models in memory, also of those whose queues were cancelled."""
        return [level.id for model in self.engine.loaded() for level in self.family.levels_of(model)]

    def restore(self) -> None:
        """At boot: hold what was assigned last, else the model of the reference level."""
        row = self._newest()
        self.apply(self._of(row) if row else self._default(), row)

    def _default(self) -> Assigned:
        return Assigned.of(self.family, [self.family.level(self.family.reference).model])

    def _of(self, row: Assignment) -> Assigned:
        """An assignment, as far as the family still has its models."""
        known = [model for model in row.models if model in self.family.models]
        return Assigned.of(self.family, known, row.queues) if known else self._default()

    def follow(self, consumer: Consumer) -> None:
        """From now on follow assignments, in a thread of its own (loading takes long). Called at every reconnect."""
        first, self._consumer = self._consumer is None, consumer
        consumer.controller.max_concurrency = self._messages
        if first:
            threading.Thread(target=self._follow, name="assignment", daemon=True).start()

    def assign(self, models: Sequence[str], queues: Sequence[str] | None = None) -> Assigned:
        """Take a command; returns at once with what will be served. Raises `KeyError` for an unknown model."""
        self._commanded = Assigned.of(self.family, models, queues)
        self._wake.set()
        return self._commanded

    def limit_messages(self, most: int) -> None:
        """Have the consumer hold so many messages at most, and look for one now, not at its next turn."""
        self._messages = most
        if self._consumer is not None:
            self._consumer.controller.max_concurrency = most  # the limit that `worker_disable_prefetch` reads
            self._consumer.call_soon(_nothing)

    def apply(self, wanted: Assigned, row: Assignment | None) -> None:
        """Load models, consume new queues, then cancel old ones; the row learns that it was done."""
        for model in wanted.models:
            if model not in self.engine.loaded():
                self.engine.load(model)
        consumed = self._consumed()
        self._in_consumer("add_task_queue", [queue for queue in wanted.queues if queue not in consumed])
        self.current = wanted
        self._in_consumer("cancel_task_queue", [queue for queue in consumed if queue not in wanted.queues])
        self.problem = None
        self.on_change()
        log.info("assigned", worker=self.identity.name, models=wanted.models, queues=len(wanted.queues))
        if row is not None:
            with transaction() as session:
                session.execute(update(Assignment).where(Assignment.id == row.id).values(applied_at=func.now()))

    def _follow(self) -> None:
        while True:
            self._wake.wait(READ_EVERY_S)
            self._wake.clear()
            try:
                self._read()
            except Exception as error:
                self.problem = str(error)
                log.warning("assignment not applied", worker=self.identity.name, error=repr(error))

    def _read(self) -> None:
        """Apply what was commanded or assigned last, when it is something new."""
        commanded, self._commanded = self._commanded, None
        row = self._newest()
        wanted = self._of(row) if row is not None else commanded or self.current
        if wanted != self.current or (row is not None and row.applied_at is None):
            self.apply(wanted, row)

    def _newest(self) -> Assignment | None:
        mine = select(Assignment).where(Assignment.worker == self.identity.name, Assignment.format <= ASSIGNMENT_FORMAT)
        with transaction() as session:
            return session.scalar(mine.order_by(Assignment.id.desc()).limit(1))

    def _consumed(self) -> list[str]:
        """The queues that the consumer really takes from, also while it reconnects."""
        return list(self._consumer.app.amqp.queues.consume_from) if self._consumer is not None else []

    def _in_consumer(self, method: str, queues: list[str]) -> None:
        """Add or cancel queues in the consumer's thread and wait for it; before there is one, nothing needs doing."""
        consumer = self._consumer
        if consumer is None or not queues:
            return
        done: Future[None] = Future()

        def run() -> None:
            try:
                for queue in queues:
                    getattr(consumer, method)(queue)
                done.set_result(None)
            except Exception as error:
                done.set_exception(error)

        consumer.call_soon(run)
        done.result(CONSUMER_S)


def _nothing() -> None:
    """Waking the consumer's loop is all."""


def register_command(follower: AssignmentFollower) -> None:
    """Teach this process's Celery worker the remote control command `assign(models=[…])`."""

    @control_command(name="assign", args=[("models", list)], signature="<model> [model …]")  # type: ignore[untyped-decorator]  # celery has no types
    def assign(state: Any, models: list[str], queues: list[str] | None = None, **_: Any) -> dict[str, Any]:
        """Hold these models and serve their queues."""
        try:
            return {"ok": list(follower.assign(models, queues).queues)}
        except KeyError as error:
            return {"error": f"no model {error} in family {follower.family.id}"}
