"""The requests that a worker is at."""

from __future__ import annotations

import uuid

from core.requests import Claim


class Claims:
    """A worker's claims by request; those in the background make room for requests with a latency target.

    Background work is batch work, and requests whose deadline no level can meet any more.
    """

    def __init__(self) -> None:
        self.running: dict[uuid.UUID, Claim] = {}
        self.background: dict[uuid.UUID, Claim] = {}
        self.preempted: set[uuid.UUID] = set()  # asked to give their slot back, not gone yet

    @property
    def foreground(self) -> int:
        """Claims with a latency target."""
        return len(self.running) - len(self.background)

    def add(self, claim: Claim, background: bool = False) -> None:
        """This request runs here from now on."""
        self.running[claim.request.id] = claim
        if background:
            self.background[claim.request.id] = claim

    def remove(self, claim: Claim) -> None:
        """This attempt is over. A later attempt of the same request may run here already: its entries stay."""
        request = claim.request.id
        for claims in (self.running, self.background):
            if (newest := claims.get(request)) is not None and newest.attempt == claim.attempt:
                del claims[request]
                self.preempted.discard(request)

    def preempt(self, slots: int) -> list[uuid.UUID]:
        """Background requests that are to leave so that all others fit these slots, noted as preempted."""
        staying = [request for request in list(self.background) if request not in self.preempted]
        excess = len(self.running) - len(self.preempted) - slots
        leaving = staying[: max(0, excess)]
        self.preempted.update(leaving)
        return leaving
