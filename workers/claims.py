"""The requests that a worker is at."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from math import inf

from core.requests import Claim

FULL = 1 - 1e-9
Slows = Callable[[Sequence[str], Sequence[str]], bool]


class Claims:
    """A worker's claims by request; those in the background make room for requests with a latency target.

    Background work is batch work, and requests whose deadline no level can meet any more.

    A worker that has not said for long that it is alive is held for lost, and what it runs was given to others: it
    has no room until it has said so again. It may have been stopped (SIGSTOP, a suspended machine), and not know.

    Args:
        share: the share of the device that a request at a level fills.
        slows: whether requests at the first levels take notably longer beside background work at the others.
        lease_s: seconds after its last sign of life for which it is believed to be alive.
        clock: goes on while the process is stopped.
    """

    def __init__(
        self,
        share: Callable[[str], float],
        slows: Slows,
        lease_s: float = inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share, self._slows, self._lease_s, self._clock = share, slows, lease_s, clock
        self._seen = clock()
        self.running: dict[uuid.UUID, Claim] = {}
        self.background: dict[uuid.UUID, Claim] = {}
        self.preempted: set[uuid.UUID] = set()  # asked to give their slot back, not gone yet
        self.alone: set[uuid.UUID] = set()  # have the device to themselves, or wait until they do: nobody else begins
        self.held: dict[uuid.UUID, uuid.UUID] = {}  # paused requests, and for which each is
        self.accompanied: set[uuid.UUID] = set()  # of those that run, who had another beside it at any time

    @property
    def foreground(self) -> list[Claim]:
        """Claims with a latency target."""
        return [claim for request, claim in list(self.running.items()) if request not in self.background]

    @property
    def has_room(self) -> bool:
        """Whether another request with a latency target can join."""
        return not (self.lapsed or self.alone) and self._filled(self.foreground) < FULL

    @property
    def messages(self) -> int:
        """Messages to hold at most: one for each request that runs, and one more while there is room."""
        return max(1, len(self.foreground) + self.has_room)

    @property
    def has_idle_room(self) -> bool:
        """Whether background work can: there is room, and no other work."""
        return not (self.lapsed or self.alone or self.foreground) and self._filled(list(self.running.values())) < FULL

    @property
    def lapsed(self) -> bool:
        """Whether others may hold this worker for lost."""
        return self._clock() - self._seen > self._lease_s

    def renew(self, at: float) -> None:
        """The worker said that it is alive, beginning to at this time of the clock."""
        self._seen = at

    def add(self, claim: Claim, background: bool = False) -> None:
        """This request runs here from now on."""
        self.running[claim.request.id] = claim
        if len(self.running) > 1:
            self.accompanied.update(self.running)
        if background:
            self.background[claim.request.id] = claim

    def hold(self, paused: Claim, claim: Claim) -> None:
        """One request stands still until another has ended; it keeps its share of the device."""
        self.held[paused.request.id] = claim.request.id

    def remove(self, claim: Claim) -> list[uuid.UUID]:
        """This attempt is over; answers those that stood still for it. A later attempt of the same request may run
        here already: its entries stay."""
        request = claim.request.id
        for claims in (self.running, self.background):
            if (newest := claims.get(request)) is not None and newest.attempt == claim.attempt:
                del claims[request]
                self.preempted.discard(request)
                self.alone.discard(request)
                self.accompanied.discard(request)
        self.held.pop(request, None)
        going_on = [held for held, other in self.held.items() if other == request]
        for held in going_on:
            del self.held[held]
        return going_on

    def preempt(self) -> list[uuid.UUID]:
        """Background requests that are to leave so that all others fit and none in front is slowed notably, noted as
        preempted."""
        front, background = self.foreground, list(self.background.items())
        behind = [claim for request, claim in background if request not in self.preempted]
        leaving: list[uuid.UUID] = []
        while behind and (self._filled(front + behind) > 2 - FULL or self._slows(_levels(front), _levels(behind))):
            leaving.append(behind.pop(0).request.id)
        self.preempted.update(leaving)
        return leaving

    def _filled(self, claims: list[Claim]) -> float:
        return sum(self._share(str(claim.request.level)) for claim in claims)


def _levels(claims: Sequence[Claim]) -> list[str]:
    return [str(claim.request.level) for claim in claims]
