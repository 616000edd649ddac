"""Background work: batch requests, and those whose deadline no level could meet. None of it waits for ever.

A batch window is a deadline. While there is idle capacity batch work fills it; when its slack is used up, a batch
request is `urgent`: from then on it is an interactive request with the time that is left (`urgent`).

It gives way to requests in front: where there is no place for both, and where one row more would slow those that run
notably by what was measured (`slows`).

A request that missed its deadline fills idle capacity, too. Under an overload that lasts there is none; so one that has
waited `OWED_AFTER` target latencies is owed a start, and a worker gives such requests `OWED_SHARE` of its time
(`Owed`).
"""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.policies.latency import LatencyTable

OWED_AFTER = 10.0
OWED_SHARE = 0.01
PACE = 0.5  # share of the workers' time that batch work may count on in the end
NOTABLY = 1.05  # times as long


def slows(latencies: LatencyTable, device: str, front: Sequence[int], behind: Sequence[int]) -> bool:
    """Whether background work at these levels (`behind`) beside requests in `front` makes one of those take notably
    longer on this type of device: on a CPU one row more costs one row more, on a GPU the first few may be free."""
    work = [(level, 1.0, 1.0) for level in (*front, *behind)]
    for k, level in enumerate(front):
        others, rest = work[:k] + work[k + 1 : len(front)], work[len(front) :]
        without, beside = (latencies.among(device, level, 1.0, some) for some in (others, others + rest))
        if beside > NOTABLY * without:
            return True
    return False


def urgent(
    deadlines: Sequence[float], now: float, lead_s: float, per_s: float, unread: Sequence[tuple[float, int]] = ()
) -> list[int]:
    """Indices of batch requests that may wait for idle capacity no longer.

    Backwards from the last deadline: each must start `lead_s` before its own, and early enough for those behind it when
    the pool serves `per_s` of them a second.

    Args:
        unread: deadlines of requests that are not queued yet, and how many have each: they are behind, too.
    """
    found: list[int] = []
    latest = float("inf")
    gap = 1 / per_s if per_s > 0 else 0.0
    queued = [(deadline, 1, i) for i, deadline in enumerate(deadlines)]
    last = len(queued)
    for deadline, count, i in sorted([*queued, *((deadline, count, last) for deadline, count in unread)], reverse=True):
        latest = min(deadline - lead_s, latest - gap) - (count - 1) * gap
        if latest <= now and i < last:
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
