"""A worker's sign of life: its row, written again and again by a thread that does nothing else.

Whatever else the worker does may take long: a claim that waits for a lock, a model that loads. The thread needs the
interpreter for a millisecond, which torch lets go of while it computes.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping

import structlog

from core import workers
from core.settings import settings
from workers.generation import Generation

log = structlog.get_logger(__name__)
BEATS = 4  # in the time after which a silent worker is lost
AGAIN_S = 0.5  # after one that the database did not take


class Heartbeat:
    """Beats until stopped; a worker whose name another process has taken leaves.

    Args:
        about: facts of the device that the row tells beside the engine's figures, e.g. `memory_mb`.
    """

    def __init__(self, generation: Generation, about: Mapping[str, float] | None = None) -> None:
        self.generation, self.identity = generation, generation.identity
        self.about = dict(about or {})
        self.state = "starting"
        self.every_s = settings().stale_s / BEATS
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin; the worker's row exists already."""
        self._thread.start()

    def stop(self) -> None:
        """Say that this worker has left, and beat no more."""
        self._stop.set()
        self.state = "stopped"
        self.beat()

    def beat(self) -> bool:
        """Write the row now; False where that failed."""
        began = time.monotonic()
        try:
            mine = workers.beat(self.identity, state=self.state, stats=self._stats(), **self._held())
        except Exception as error:  # whatever it is, the next beat tries again: silence is taken for death
            log.warning("no heartbeat", worker=self.identity.name, error=str(error).splitlines()[0])
            return False
        if mine:
            self.generation.claims.renew(began)
        elif not self._stop.is_set():
            log.error("another process took this worker's name; leaving", worker=self.identity.name)
            self._stop.set()
            os.kill(os.getpid(), signal.SIGTERM)
        return True

    def _run(self) -> None:
        wait_s = self.every_s
        while not self._stop.wait(wait_s):
            wait_s = self.every_s if self.beat() else min(AGAIN_S, self.every_s)

    def _held(self) -> dict[str, list[str]]:
        current = self.generation.follower.current
        return {"models": list(current.models), "queues": list(current.queues)}

    def _stats(self) -> dict[str, object]:
        generation, calibration = self.generation, self.generation.execution.calibration
        return {
            **self.about,
            **generation.engine.stats(),
            "open": len(generation.claims.running),
            "problem": generation.follower.problem,
            "exact_s": calibration and calibration.exact_s,
        }
