"""How many requests wait for a model between two reads of the rows."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace


@dataclass
class QueueEstimate:
    """Requests of one model and the slots its workers run them in.

    A routed request comes in at once; those that workers have finished since are taken off at the profile's rate
    `per_s`. `ahead` counts the running ones too: as long as there are free slots nobody waits.
    """

    slots: int
    per_s: float
    ahead: float = 0.0
    at: float = field(default_factory=time.monotonic)

    def with_ahead(self, ahead: float) -> QueueEstimate:
        return replace(self, ahead=ahead)

    def add(self) -> int:
        """One more is routed; returns how many wait now."""
        now = time.monotonic()
        self.ahead = max(0.0, self.ahead - self.per_s * (now - self.at)) + 1
        self.at = now
        return self.waiting

    @property
    def waiting(self) -> int:
        return max(0, math.ceil(self.ahead - self.slots))
