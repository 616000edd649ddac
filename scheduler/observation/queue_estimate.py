"""What waits for a model, and what runs on it, between two reads of the rows."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field


@dataclass
class QueueEstimate:
    """Requests of one model, the slots its workers run them in, and the work in progress.

    What is routed or started here counts at once; what all workers have done since is taken off as fast as the profile
    says (`per_s` requests, `workers` worker-seconds a second). `ahead` counts the running requests too: as long as
    there are free slots nobody waits. `at` is the clock time (Unix seconds) up to which it is reckoned.
    """

    slots: int
    per_s: float
    workers: int = 0
    ahead: float = 0.0
    busy_s: float = 0.0
    at: float = field(default_factory=time.time)

    def advance(self, now: float) -> None:
        """Take off what has been done until now. A worker that has had nothing to do is not owed anything."""
        passed = max(0.0, now - self.at)
        self.ahead = max(0.0, self.ahead - self.per_s * passed)
        self.busy_s = max(0.0, self.busy_s - self.workers * passed)
        self.at = max(self.at, now)

    def routed(self) -> None:
        """One more waits."""
        self.advance(time.time())
        self.ahead += 1

    def started(self, seconds: float) -> None:
        """One that waited runs now, and takes so many worker-seconds."""
        self.advance(time.time())
        self.busy_s += seconds

    @property
    def waiting(self) -> int:
        return max(0, math.ceil(self.ahead - self.slots))
