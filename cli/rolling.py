"""A rolling restart, as the supervisor does it: one process is replaced after the other, a step each time it looks.

`argus restart` writes the names into `home`/run/restart.json; the supervisor takes the file, and says in
`home`/run/argus.json what is left. Where a new process does not serve in time, those after it are left as they are.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import structlog

from core.supervisor import Supervisor

log = structlog.get_logger(__name__)
ASKED = "restart.json"
PATIENCE_S = 300.0  # for the old process to leave and the new one to serve: it may load models


class RollingRestart:
    """What is left of the restart that was asked for last; `left` names it, the process at work first."""

    def __init__(self, supervisor: Supervisor, folder: Path) -> None:
        self.left: list[str] = []
        self._supervisor = supervisor
        self._asked = folder / ASKED
        self._since: float | None = None  # when the first of `left` was begun

    def advance(self) -> None:
        """Take what is asked for; begin the next, or see whether the one at work is done."""
        if not self.left:
            self.left = self._take()
            return
        name = self.left[0]
        if self._since is None:
            self._begin(name)
        elif self._supervisor.is_replaced(name):
            log.info("replaced", child=name, seconds=round(time.monotonic() - self._since, 1))
            self._finish(self.left[1:])
        elif time.monotonic() > self._since + PATIENCE_S:
            log.error("a new process does not serve; the others are left as they are", child=name)
            self._finish([])

    def acknowledge(self) -> None:
        """What was asked is taken, and `left` is told: whoever asked now waits for that to become empty."""
        self._asked.unlink(missing_ok=True)

    def _take(self) -> list[str]:
        try:
            asked = json.loads(self._asked.read_text())
        except (OSError, ValueError):
            return []
        return [name for name in asked if name in self._supervisor.pids()]

    def _begin(self, name: str) -> None:
        self._since = time.monotonic()
        try:
            self._supervisor.replace(name)
        except OSError as error:
            log.error("no new process could be started", child=name, error=str(error))
            self._finish([])

    def _finish(self, left: list[str]) -> None:
        self.left, self._since = left, None
