"""Background work: batch requests, and those whose deadline no level could meet. None of it waits for ever.

A batch window is a deadline. While there is idle capacity batch work fills it; when its slack is used up, a batch
request is `urgent`: from then on it is an interactive request with the time that is left (`urgent`).

A request that missed its deadline fills idle capacity, too. Under an overload that lasts there is none; so one that has
waited `OWED_AFTER` target latencies is owed a start, and a worker gives such requests `OWED_SHARE` of its time
(`Owed`).
"""

from __future__ import annotations

from collections.abc import Sequence

OWED_AFTER = 10.0
OWED_SHARE = 0.01
PACE = 0.5  # share of the workers' time that batch work may count on in the end


def urgent(deadlines: Sequence[float], now: float, lead_s: float, per_s: float) -> list[int]:
    """Indices of batch requests that may wait for idle capacity no longer; `deadlines` rise.

    Backwards from the last: each must start `lead_s` before its deadline, and early enough for those behind it when
    the pool serves `per_s` of them a second.
    """
    found: list[int] = []
    latest = float("inf")
    gap = 1 / per_s if per_s > 0 else 0.0
    for i in range(len(deadlines) - 1, -1, -1):
        latest = min(deadlines[i] - lead_s, latest - gap)
        if latest <= now:
            found.append(i)
    return found[::-1]


class Owed:
    """When one worker may start the next request that is owed a start."""

    def __init__(self) -> None:
        self._next_at = float("-inf")

    def allows(self, now: float) -> bool:
        return now >= self._next_at

    def started(self, now: float, seconds: float) -> None:
        """One has been started, and takes so many worker-seconds."""
        self._next_at = now + seconds / OWED_SHARE
