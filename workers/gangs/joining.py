"""A member of a gang: an idle worker that computes its share of another's image."""

from __future__ import annotations

import threading
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog
from celery.worker.control import control_command
from sqlalchemy.exc import SQLAlchemyError

from core import gangs
from core.gang_tables import Gang
from core.requests import Claim
from workers.execution import generation_request
from workers.gangs.company import GATHER_S, SILENT_S, company, make_mode, wait_for_good_bye
from workers.generation import Generation

if TYPE_CHECKING:
    from workers.pipelines.base import Adapter

log = structlog.get_logger(__name__)
LOOK_S = 0.02


class Joining:
    """Joins gangs, one at a time, while its worker has nothing else to do."""

    def __init__(self, generation: Generation) -> None:
        self.generation, self.name = generation, generation.identity.name
        self.family, self.engine = generation.family, generation.engine

    def begin(self, attempt: uuid.UUID) -> None:
        """Answer who leads this attempt, and draw with it where it wants that; both in a thread of their own."""
        threading.Thread(target=self.join, args=(attempt,), name="gang", daemon=True).start()

    def join(self, attempt: uuid.UUID) -> bool:
        """The same, at once; whether it drew to the end."""
        try:
            if not self._take_place(attempt):
                gangs.answer(attempt, self.name, willing=False)
                return False
            try:
                return self._answer_and_draw(attempt)
            finally:
                self._give_place(attempt)
        except Exception as error:  # the leader notices, and goes on alone
            log.warning("left a gang", attempt=str(attempt), error=repr(error))
            return False

    def _take_place(self, attempt: uuid.UUID) -> bool:
        """Whether nothing runs here; then nothing begins until the gang has dissolved."""
        generation, claims = self.generation, self.generation.claims
        with generation.claiming:
            if claims.running or claims.alone or claims.lapsed or generation.stopping.is_set():
                return False
            claims.alone.add(attempt)
            return True

    def _give_place(self, attempt: uuid.UUID) -> None:
        self.generation.claims.alone.discard(attempt)
        with suppress(SQLAlchemyError):  # at the next look then
            self.generation.fill()

    def _answer_and_draw(self, attempt: uuid.UUID) -> bool:
        claimed, gang = gangs.claim_of(attempt), gangs.read(attempt)
        alike = claimed is not None and gang is not None and gang.program == gangs.program_of(self.family)
        adapter = self.engine.pool.lease(self._model(claimed)) if claimed is not None and alike else None
        if claimed is None or adapter is None:
            gangs.answer(attempt, self.name, willing=False)
            return False
        try:
            gang = _closed(attempt) if gangs.answer(attempt, self.name, willing=True) else None
            if gang is None or self.name not in (gang.members or ()):
                return False
            self._draw(gang, claimed, adapter)
            return True
        finally:
            self.engine.pool.release(self._model(claimed))

    def _model(self, claimed: Claim) -> str:
        return self.family.level(claimed.request.level or self.family.reference).model

    def _draw(self, gang: Gang, claimed: Claim, adapter: Adapter) -> None:
        """All turns of one rank, from the noise that the seed decides."""
        from workers.parallel.mode import draw
        from workers.parallel.processes import found
        from workers.pipelines.rows import Batch
        from workers.strategies import begin

        asked = generation_request(claimed, self.family, ())
        guidance = asked.guidance if asked.level.guidance is None else asked.level.guidance
        batch = Batch.of([adapter.prepare(asked, begin(asked, asked.level, self.family), guidance)])
        members, port = list(gang.members or ()), int(str(gang.address).rpartition(":")[2])
        rank, world = 1 + members.index(self.name), 1 + len(members)
        with company(found(port, world, SILENT_S), rank, world, self.engine.device.startswith("cuda")) as member:
            draw(make_mode(gang.mode, member, adapter, batch), batch)
            wait_for_good_bye(member, batch)


def _closed(attempt: uuid.UUID) -> Gang | None:
    """The gang once its leader has said who draws; None where it does not."""
    until = time.monotonic() + 2 * GATHER_S
    while time.monotonic() < until:
        gang = gangs.read(attempt)
        if gang is None or gang.members is not None:
            return gang
        time.sleep(LOOK_S)
    return None


def register_join(joining: Joining) -> None:
    """Teach this process's Celery worker the remote control command `join_gang(attempt=…)`."""

    @control_command(name="join_gang", args=[("attempt", str)], signature="<attempt>")  # type: ignore[untyped-decorator]  # celery has no types
    def join_gang(state: Any, attempt: str, **_: Any) -> dict[str, Any]:
        """Draw with the worker whose attempt this is."""
        joining.begin(uuid.UUID(attempt))
        return {"ok": attempt}
