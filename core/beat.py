"""Celery's beat, which goes on when the clock is set back.

When an entry is due follows from the wall clock at its last run. Set back by an hour, which ends a step forward or an
error of the host's clock, Celery's own scheduler would send nothing for an hour: no tick, no reconciliation.
"""

from __future__ import annotations

import time
from typing import Any

import structlog
from celery.beat import Scheduler

log = structlog.get_logger(__name__)
STEP_S = 1.0  # a clock that is slewed, not set, drifts less between two looks


class Beat(Scheduler):  # type: ignore[misc]
    """A scheduler that begins anew when the wall clock has left the monotonic one."""

    def __init__(self, *given: Any, **more: Any) -> None:
        self._ahead = ahead()
        super().__init__(*given, **more)

    def tick(self, *given: Any, **more: Any) -> float:
        """Send what is due; returns seconds until the next look."""
        before, self._ahead = self._ahead, ahead()
        if abs(self._ahead - before) > STEP_S:
            log.warning("the clock was set; the schedule begins anew", seconds=round(self._ahead - before, 1))
            for entry in self.schedule.values():
                entry.last_run_at = entry.default_now()
            self._heap = None  # is made again from the entries
        seconds: float = super().tick(*given, **more)
        return seconds


def ahead() -> float:
    """Seconds of the wall clock beyond the monotonic one."""
    return time.time() - time.monotonic()
