"""Which models a worker holds and which queues it serves, kept equal to its newest assignment.

Remote control is pub/sub: a worker that was away missed it. So the row in PostgreSQL counts; it is read at boot, every
few seconds, and at once when the command `assign` arrives. New queues are consumed before old ones are cancelled, and
a model whose queues were cancelled stays held while memory allows: a cancelled queue can still deliver one message.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import structlog
from celery.worker.control import control_command
from sqlalchemy import func, select, update

from core.database import transaction
from core.families import Family
from core.tables import Assignment
from workers.rows import Me

if TYPE_CHECKING:
    from celery.worker.consumer import Consumer

    from workers.engine.engine import Engine

log = structlog.get_logger(__name__)
READ_EVERY_S = 10.0
SETTLE_S = 15.0  # the consumer's thread may be reconnecting


class Posting:
    """Where this worker is posted. `models` are those it serves; the engine may hold more."""

    def __init__(self, me: Me, family: Family, engine: Engine) -> None:
        self.me = me
        self.family = family
        self.engine = engine
        self.models: list[str] = []
        self.problem: str | None = None
        self._consumer: Consumer | None = None
        self._ordered: list[str] | None = None  # by command; the row confirms it
        self._wake = threading.Event()

    @property
    def queues(self) -> list[str]:
        return self.family.queues_of(self.models)

    def levels(self) -> list[str]:
        """Ids of the levels this worker can serve at this moment."""
        held = dict.fromkeys([*self.models, *self.engine.loaded()])
        return [level.id for model in held for level in self.family.levels_of(model)]

    def take_up(self) -> None:
        """At boot: hold what was assigned last, else the model of the reference level."""
        row = self._newest()
        self._apply(row.models if row else [self.family.level(self.family.reference).model], row)

    def follow(self, consumer: Consumer) -> None:
        """From now on follow assignments, in a thread of its own (loading takes long). Called at every reconnect."""
        first, self._consumer = self._consumer is None, consumer
        if not first:
            return
        threading.Thread(target=self._follow, name="assignment", daemon=True).start()

    def assign(self, models: Sequence[str]) -> list[str]:
        """Be told; returns at once with the queues that will be served. Raises `KeyError` for a model there is not."""
        queues = self.family.queues_of([self.family.models[model].id for model in models])
        self._ordered = list(models)
        self._wake.set()
        return queues

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
        ordered, self._ordered = self._ordered, None
        row = self._newest()
        if row is not None and row.applied_at is None:
            self._apply(row.models, row)
        elif ordered is not None:
            self._apply(ordered, None)
        elif row is not None and row.models != self.models:
            self._apply(row.models, row)

    def _newest(self) -> Assignment | None:
        newest = select(Assignment).where(Assignment.worker == self.me.name).order_by(Assignment.id.desc()).limit(1)
        with transaction() as session:
            return session.scalar(newest)

    def _apply(self, models: list[str], row: Assignment | None) -> None:
        """Load, add, then cancel; the row learns that it was done."""
        for model in models:
            if model not in self.engine.loaded():
                self.engine.load(model)
        wanted = self.family.queues_of(models)
        served = self._served()
        self._in_consumer("add_task_queue", [queue for queue in wanted if queue not in served])
        self.models = list(models)
        self._in_consumer("cancel_task_queue", [queue for queue in served if queue not in wanted])
        self.problem = None
        log.info("posted", worker=self.me.name, models=models, queues=len(self.queues))
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
    def assign(state: Any, models: list[str], **_: Any) -> dict[str, Any]:
        """Hold these models and serve their queues."""
        try:
            return {"ok": posting.assign(models)}
        except KeyError as error:
            return {"error": f"no model {error} in family {posting.family.id}"}
