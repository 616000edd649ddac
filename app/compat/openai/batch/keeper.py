"""The thread of a web process that reads batches and moves them on. Several may be at it: each step locks its batch."""

from __future__ import annotations

import threading
import uuid

import structlog
from sqlalchemy import select

from app.compat.openai.batch.intake import move_on
from app.compat.openai.batch.states import OPEN
from core.batch_tables import Batch
from core.database import transaction

log = structlog.get_logger(__name__)
EVERY_S = 5.0


class Keeper:
    """Looks after all open batches, when woken and every few seconds."""

    def __init__(self) -> None:
        self._work = threading.Event()

    def start(self) -> None:
        """Begin, for as long as the process lives."""
        threading.Thread(target=self._run, name="batches", daemon=True).start()

    def wake(self) -> None:
        """There is something to do."""
        self._work.set()

    def round(self) -> None:
        """Read what is there to be read, a step of each batch in turn; move on what has ended."""
        more = self._open()
        while more:
            more = [batch for batch in more if self._move_on(batch)]

    def _open(self) -> list[uuid.UUID]:
        with transaction() as session:
            return list(session.scalars(select(Batch.id).where(Batch.status.in_(OPEN)).order_by(Batch.created_at)))

    def _move_on(self, batch: uuid.UUID) -> bool:
        try:
            return move_on(batch)
        except Exception:
            log.exception("a batch could not be moved on", batch=str(batch))
            return False

    def _run(self) -> None:
        while True:
            self._work.wait(EVERY_S)
            self._work.clear()
            try:
                self.round()
            except Exception as error:
                log.warning("batches not looked at", error=str(error).splitlines()[0])


KEEPER = Keeper()
