"""Whether a running request gives way to one that waits, at a step boundary: by slack (GenServe, arXiv:2604.04335, §4).

What a diffusion request still needs is known, so its slack is, too: its deadline less now and what it needs. A request
is paused where that saves a deadline and costs none. Then the one that waits is due earlier: its slack is less than
what the running one needs, whose slack is more than what the waiting one needs. So among requests that all have one
target latency, first come first served, nobody is ever paused; where targets or lengths differ somebody may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.policies.decisions import Request
from scheduler.policies.latency import LatencyTable


@dataclass(frozen=True, slots=True)
class Due:
    """When a request is due and what is left of it, in seconds alone on a worker: as it is drawn, and at the least."""

    deadline: float
    takes_s: float
    least_s: float

    def slack_s(self, now: float) -> float:
        """Seconds to spare, as it is drawn."""
        return self.deadline - now - self.takes_s


def due(request: Request, level: int, options: Sequence[int], latencies: LatencyTable) -> Due:
    """A request at a level (places in `Cluster.levels`), on the fastest type of device. One that waits may be drawn at
    any of the `options`, one that has begun keeps its level."""
    takes = {i: min(request.work(i) * alone[i] for alone in latencies.alone.values()) for i in (level, *options)}
    return Due(request.deadline, takes[level], takes[level] if request.done else min(takes.values()))


def due_before(
    running: Sequence[tuple[Request, str]], waiting: Sequence[tuple[Request, str]]
) -> list[tuple[Request, str]]:
    """Those of the waiting that are due before one of the running: nobody pauses for the others.

    Where all have one target latency there are none, and what each needs has not to be looked up.
    """
    latest = max((request.deadline for request, _ in running), default=0.0)
    return [(request, level) for request, level in waiting if request.deadline < latest]


def gives_way(waiting: Sequence[Due], running: Sequence[Due], now: float) -> int | None:
    """The index of the running request that pauses; None where that would save nobody or make it late.

    Somebody is saved who would be late, at the least it takes, when the first of the running ones ends, and is in time
    when starting now. The one with most slack pauses, if it bears all who go before it then: those who wait with an
    earlier deadline.
    """
    if not running:
        return None
    soonest = min(one.takes_s for one in running)
    calmest = max(range(len(running)), key=lambda i: running[i].slack_s(now))
    paused = running[calmest]
    before = [one for one in waiting if one.deadline < paused.deadline]
    pressed = any(0 <= one.deadline - now - one.least_s < soonest for one in before)
    bears = paused.slack_s(now) > sum(one.takes_s for one in before)
    return calmest if pressed and bears else None
