"""Who waits for a job: calls that answer with images hold a thread each, streams of events only a socket.

There are so many places, and so many a client, so that other threads are left for pages and submissions, and other
places for other clients. Who waits does so on `app/listening.py`: a thread that sleeps until there is something new, or
until its client hangs up, which the server says (`HANG_UP`).
"""

from __future__ import annotations

import enum
import math
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from flask import request

from app.listening import LISTENER, POLL_S, Follower
from core.errors import TooOften

PLACES, CLIENT_PLACES = 512, 256
STREAMS, CLIENT_STREAMS = 3000, 1100  # of events: they hold no thread (`app/parking.py`)
PARK = "argus.park"  # in a WSGI environment: takes the rest of a stream, and the pause it begins with
HANG_UP = "argus.on_hang_up"  # in a WSGI environment: takes what is to be called when the client hangs up
OnHangUp = Callable[[Callable[[], None]], None]
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
STREAM_PLACES = Places(STREAMS, CLIENT_STREAMS)


def hanging_up() -> OnHangUp | None:
    """What tells when the client of this HTTP request hangs up, for `following` where there is no request any more."""
    return request.environ.get(HANG_UP)


@contextmanager
def following(job_id: uuid.UUID, on_hang_up: OnHangUp | None) -> Iterator[Follower]:
    """Who is woken when there is something new about a job, and when its client hangs up."""
    follower = LISTENER.follow(job_id)
    if on_hang_up:
        on_hang_up(follower.hang_up)
    try:
        yield follower
    finally:
        LISTENER.leave(job_id, follower)


class Pause:
    """A stream has nothing to say until there is a reason to look, or `most_s` seconds have passed.

    Not before the monotonic clock says `not_before`, however much happens.
    """

    def __init__(self, follower: Follower, most_s: float, not_before: float) -> None:
        self.follower, self.not_before = follower, not_before
        self.most_s = most_s if follower.hears else min(most_s, POLL_S)
        self.may_be_new = False

    def over(self, news: bool) -> None:
        """It is over; whether there may be something new."""
        self.may_be_new = news or not self.follower.hears


def blocking(stream: Iterator[str | Pause]) -> Iterator[str]:
    """A stream that waits in its thread at each pause, for servers that cannot park it."""
    with closing(stream):  # type: ignore[type-var]  # it is a generator
        for item in stream:
            if isinstance(item, str):
                yield item
            else:
                item.over(item.follower.wait(item.most_s))
                LEAVING.wait(max(0.0, item.not_before - time.monotonic()))


class Outcome(enum.Enum):
    """How waiting ended."""

    OVER = "what was waited for is there"
    LATE = "time was up"
    GONE = "the client hung up"


def wait_until(is_over: Callable[[], bool], job_id: uuid.UUID, most_s: float) -> Outcome:
    """Wait for so long until something about a job is so; asked whenever there is something new about it."""
    end = time.monotonic() + most_s
    with following(job_id, hanging_up()) as follower:
        while not follower.client_is_gone:
            if is_over():
                return Outcome.OVER
            if (left := end - time.monotonic()) <= 0:
                return Outcome.LATE
            follower.wait(left)
    return Outcome.GONE


def leave() -> None:
    """The server is told to stop: streams end at once."""
    LEAVING.set()
    LISTENER.wake_all()
