"""Encoded requests that wait for admission. Other threads bring them, the loop's thread takes them."""

from __future__ import annotations

from collections import deque

from workers.engine.running_request import RunningRequest


class Waiting:
    """`encoded` and `not_finite` may be called by any thread, everything else by the loop's."""

    def __init__(self) -> None:
        self._encoded: deque[RunningRequest] = deque()  # not yet seen by the loop
        self._spoiled: deque[RunningRequest] = deque()  # found not finite when they were to be decoded
        self._requests: list[RunningRequest] = []

    def __bool__(self) -> bool:
        return any(not request.stands_still for request in self._requests)

    def encoded(self, request: RunningRequest) -> None:
        """A request has its row and waits for admission."""
        self._encoded.append(request)

    def not_finite(self, request: RunningRequest) -> None:
        """A finished request's latent turned out NaN or infinite."""
        self._spoiled.append(request)

    def take_in(self) -> list[RunningRequest]:
        """See what other threads brought; answers the requests that were not finite."""
        while self._encoded:
            self._requests.append(self._encoded.popleft())
        return [self._spoiled.popleft() for _ in range(len(self._spoiled))]

    def add(self, request: RunningRequest) -> None:
        """Wait (again)."""
        self._requests.append(request)

    def remove(self, request: RunningRequest) -> None:
        """Wait no more."""
        self._requests.remove(request)

    def remove_ended(self) -> list[RunningRequest]:
        """Take out those that were cancelled, and forget those that have ended."""
        going = [request for request in self._requests if not request.future.done()]
        self._requests = [request for request in going if request.reason_to_end is None]
        return [request for request in going if request.reason_to_end is not None]

    def by_urgency(self) -> list[RunningRequest]:
        """Earliest deadline first, without those that stand still."""
        going = [request for request in self._requests if not request.stands_still]
        return sorted(going, key=lambda request: request.urgency)

    def clear(self) -> None:
        """Forget all."""
        for requests in (self._encoded, self._spoiled, self._requests):
            requests.clear()
