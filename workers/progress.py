"""What a worker tells of requests on their way, where somebody wants previews of them: steps taken, and the previews.

A thread of its own looks at the engine twice a second and writes what it finds. The loop never waits for it, nor does a
decoder: previews are handed over in a queue, and where the database is away they are dropped.
"""

from __future__ import annotations

import io
import threading
import time
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.exc import SQLAlchemyError

from core import progress
from core.progress import Step
from core.requests import Claim
from workers.claims import Claims

if TYPE_CHECKING:
    from PIL.Image import Image

    from workers.engine.engine import Engine

log = structlog.get_logger(__name__)
EVERY_S = 0.5
MOST_WAITING = 32  # previews; further ones are left out
JPEG = {"quality": 90, "subsampling": 0}


class ProgressReporter:
    """Tells the database how far the claims of a worker are, until stopped."""

    def __init__(self, engine: Engine, claims: Claims) -> None:
        self._engine, self._claims = engine, claims
        self._previews: Queue[tuple[Claim, int, Image]] = Queue(MOST_WAITING)
        self._told: dict[str, Step] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Tell no more."""
        self._stop.set()

    def show(self, claimed: Claim, number: int, image: Image) -> None:
        """Have a preview written; returns at once."""
        try:
            self._previews.put_nowait((claimed, number, image))
        except Full:
            log.info("preview left out", request=str(claimed.request.id))

    def write_steps(self) -> None:
        """Write how far everything is that is watched and has gone on since the last time."""
        watched = [claim for claim in list(self._claims.running.values()) if claim.request.previews]
        now = {step.request_id: step for claim in watched if (step := self._step(claim))}
        new = [step for request, step in now.items() if self._told.get(str(request)) != step]
        if new:
            progress.write_steps(new)
        self._told = {str(request): step for request, step in now.items()}

    def write_previews(self, wait_s: float = 0.0) -> None:
        """Write the previews that come within so many seconds."""
        end = time.monotonic() + wait_s
        while not self._stop.is_set():
            try:
                claimed, number, image = self._previews.get(timeout=max(0.001, end - time.monotonic()))
            except Empty:
                return
            file = io.BytesIO()
            image.convert("RGB").save(file, "JPEG", **JPEG)
            progress.write_preview(claimed.request.id, claimed.number, number, file.getvalue())

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.write_previews(EVERY_S)
                self.write_steps()
            except SQLAlchemyError as error:
                log.warning("progress not told", error=str(error).splitlines()[0])
                self._stop.wait(EVERY_S)
            except Exception:
                log.exception("progress not told")
                self._stop.wait(EVERY_S)

    def _step(self, claim: Claim) -> Step | None:
        running = self._engine.find(str(claim.request.id))
        taken = running and running.steps_taken
        return Step(claim.request.id, claim.number, *taken) if taken else None
