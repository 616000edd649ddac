"""Threads that wait for a job: each stream of events holds one, and so does each call that answers with images.

There are so many places, and so many a client, so that other threads are left for pages and submissions, and other
places for other clients.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from flask import request

from core.errors import TooOften

PLACES, CLIENT_PLACES = 48, 24
POLL_S = 1.0  # between two looks at the database
LEAVING = threading.Event()  # set when the server is told to stop: streams end, their clients come back elsewhere


class Places:
    """Places to wait at; each is held for a bounded time."""

    def __init__(self, most: int, most_a_client: int) -> None:
        self._most, self._most_a_client = most, most_a_client
        self._held: dict[object, tuple[str, float]] = {}  # the client, and when it leaves at the latest
        self._lock = threading.Lock()

    def take(self, client: str, longest_s: float, instead: str) -> Callable[[], None]:
        """Take a place for at most so long; returns what gives it back, which may be called twice.

        Raises:
            TooOften: none is free, or none for this client; it says when one will be, and what to do `instead`.
        """
        place, now = object(), time.monotonic()
        with self._lock:
            for held, (_, end) in list(self._held.items()):
                if end < now:
                    self._held.pop(held, None)  # its answer was never closed
            everybody = list(self._held.values())
            own = [holder for holder in everybody if holder[0] == client]
            full = own if len(own) >= self._most_a_client else everybody if len(everybody) >= self._most else None
            if full:
                who = "of this client " if full is own else ""
                soonest = max(1, math.ceil(min(end for _, end in full) - now))
                raise TooOften(f"{len(full)} calls {who}wait already. {instead}", retry_after_s=soonest)
            self._held[place] = client, now + longest_s
        return lambda: self._held.pop(place, None) and None


PLACES_TO_WAIT = Places(PLACES, CLIENT_PLACES)


def client_is_gone() -> bool:
    """Whether the client of this request has hung up, as far as the server knows."""
    gone = request.environ.get("waitress.client_disconnected")
    return bool(gone and gone())
