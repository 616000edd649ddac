"""What waits for a model, and what runs on it, between two reads of the rows."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from scheduler.policies import Policy

MOVES = 10_000  # remembered at most


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


class OwnMoves:
    """What this process has routed and started lately: readings of before do not know of it."""

    def __init__(self) -> None:
        self._moves: deque[tuple[float, str, bool]] = deque(maxlen=MOVES)

    def note(self, level: str, started: bool) -> None:
        """Now a request was started at this level, or routed to it."""
        self._moves.append((time.time(), level, started))

    def since(self, at: float) -> list[tuple[str, bool]]:
        """Level and kind of what came after a Unix time; what came before is forgotten."""
        while self._moves and self._moves[0][0] <= at:
            self._moves.popleft()
        return [(level, started) for _, level, started in list(self._moves)]


def queues_of(policy: Policy | None, workers: Mapping[tuple[str, str | None], int]) -> dict[str, QueueEstimate]:
    """Slots and speed of each model's workers, given how many there are by device type and model; as far as profiles
    know them."""
    found: dict[str, QueueEstimate] = {}
    for (device_type, model), n in workers.items():
        profile = policy.cluster.profiles.get(device_type) if policy else None
        levels = [lv for lv in profile.levels if policy.cluster.holds(lv.id) == model] if profile and policy else []
        if model and levels:
            before = found.get(model, QueueEstimate(0, 0.0))
            speed = max(level.requests_per_minute for level in levels) / 60
            slots = before.slots + n * levels[0].rows
            found[model] = QueueEstimate(slots, before.per_s + n * speed, before.workers + n)
    return found
