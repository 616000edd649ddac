"""The thread that runs the loop, asleep while there is nothing to step."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class LoopThread:
    """Calls `step` until stopped; after one that did nothing it waits for `wake`.

    Args:
        failed: told of an error that `step` raised. The thread goes on.
    """

    def __init__(self, step: Callable[[], bool], failed: Callable[[Exception], None]) -> None:
        self._step, self._failed = step, failed
        self._awake = threading.Event()
        self._thread: threading.Thread | None = None
        self.stopping = False

    @property
    def running(self) -> bool:
        return self._thread is not None

    def start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """There is something to do."""
        self._awake.set()

    def stop(self) -> None:
        """End after the step at hand; returns when it has ended."""
        self.stopping = True
        self._awake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self.stopping:
            try:
                worked = self._step()
            except Exception as error:
                log.exception("the engine's loop failed")
                self._failed(error)
                continue
            if not worked:
                self._awake.wait()
                self._awake.clear()
