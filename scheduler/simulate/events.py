"""Future events on the virtual clock."""

from __future__ import annotations

import heapq
import math
from typing import Any


class Events:
    """What will happen, in order of time, then of insertion. `now` is the time of what happened last."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, str, tuple[Any, ...]]] = []
        self._inserted = 0

    def at(self, when: float, kind: str, *what: object) -> None:
        self._inserted += 1
        heapq.heappush(self._heap, (when, self._inserted, kind, what))

    @property
    def next_at(self) -> float:
        """Time of the next event; infinite without one."""
        return self._heap[0][0] if self._heap else math.inf

    def pop(self) -> tuple[str, tuple[Any, ...]]:
        """The next event's kind and arguments."""
        _, _, kind, what = heapq.heappop(self._heap)
        return kind, what
