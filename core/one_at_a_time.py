"""Periodic work that must not overlap with itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping


class OneAtATime:
    """What comes due while the turn before still goes on is dropped; the next will do.

    Args:
        limits_s: seconds by the name of the work after which a turn has hung.
        clock: in seconds; a test sets it.
    """

    def __init__(
        self, limits_s: Mapping[str, float] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits_s, self._clock = dict(limits_s or {}), clock
        self._since: dict[str, float] = {}
        self._lock = threading.Lock()

    def __call__(self, name: str, work: Callable[[], object]) -> None:
        """Do it, unless it is being done."""
        with self._lock:
            if name in self._since:
                return
            self._since[name] = self._clock()
        try:
            work()
        finally:
            with self._lock:
                del self._since[name]

    def hung(self) -> str | None:
        """Which work goes on for longer than its limit; None while none does."""
        with self._lock:
            since = dict(self._since)
        for name, limit_s in self._limits_s.items():
            if name in since and self._clock() - since[name] > limit_s:
                return f"{name} has not ended for {limit_s:.0f} s"
        return None
