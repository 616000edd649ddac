"""Look-ups in the latent cache, beside the encoder. Each is bounded in time, and whatever fails is a miss.

A store that is away must cost nothing: after a few failures in a row it is not asked for a while, then by one request
at a time until it answers again (a circuit breaker).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from workers.threads import DaemonExecutor

log = logging.getLogger(__name__)
Found = TypeVar("Found")

THREADS = 2
TIMEOUT_S = 1.0  # an encoding takes about as long at the worst
TOLERATED = 3  # failures in a row
PAUSE_S = 5.0


class Fetcher(Generic[Found]):
    """Runs look-ups on threads of its own. Counts `errors`, `timeouts` and `bypassed` look-ups.

    Args:
        counts: counted in.
        timeout_s: after which a look-up is a miss.
        pause_s: for how long nothing is asked after failures in a row.
        clock: seconds.
    """

    def __init__(
        self,
        counts: Counter[str],
        timeout_s: float = TIMEOUT_S,
        pause_s: float = PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts, self.timeout_s, self.pause_s, self._clock = counts, timeout_s, pause_s, clock
        self._threads = DaemonExecutor("fetch", THREADS)
        self._lock = threading.Lock()
        self._answering = threading.Lock()
        self._failures = 0  # in a row
        self._ask_again = 0.0  # time at which the next may ask

    def fetch(self, look_up: Callable[[], Found | None]) -> Future[Found | None]:
        """What `look_up` finds; None where it fails, takes too long, or the store is known to be away."""
        future: Future[Found | None] = Future()
        if self._is_to_rest():
            self.counts["bypassed"] += 1
            future.set_result(None)
            return future
        return self._begin(future, look_up)

    @property
    def away(self) -> bool:
        """Whether the store failed so often that it is asked by one request at a time."""
        return self._failures >= TOLERATED

    def probe(self, work: Callable[[], None]) -> None:
        """Ask the store something that nobody waits for, unless it is to be left alone now."""
        if not self._is_to_rest():
            self._begin(Future(), work)

    def beside(self, work: Callable[[], object]) -> None:
        """Do something that nobody waits for."""
        self._threads.submit(self._quietly, work)

    def failed(self) -> None:
        """The store or the index failed."""
        with self._lock:
            self._failures += 1
            self._ask_again = self._clock() + self.pause_s

    def _begin(self, future: Future[Found | None], look_up: Callable[[], Found | None]) -> Future[Found | None]:
        timer = threading.Timer(self.timeout_s, self._time_out, (future,))
        timer.daemon = True
        timer.start()
        future.add_done_callback(lambda _: timer.cancel())
        self._threads.submit(self._run, future, look_up)
        return future

    def _is_to_rest(self) -> bool:
        with self._lock:
            if self._failures < TOLERATED:
                return False
            if self._clock() < self._ask_again:
                return True
            self._ask_again = self._clock() + self.pause_s  # this one asks, the next after another pause
            return False

    def _run(self, future: Future[Found | None], look_up: Callable[[], Found | None]) -> None:
        if future.done():  # it waited behind others that hang
            return
        try:
            found = look_up()
        except Exception as error:
            log.warning("latent cache not available: %r", error)
            self._miss(future, "errors")
            return
        with self._lock:
            self._failures = 0
        self._answer(future, found)

    def _time_out(self, future: Future[Found | None]) -> None:
        if self._miss(future, "timeouts"):
            log.warning("latent cache did not answer within %.1f s", self.timeout_s)

    def _miss(self, future: Future[Found | None], counted: str) -> bool:
        """Answer that nothing was found, unless there is an answer already; whoever waits finds it counted."""
        with self._answering:
            if future.done():
                return False
            self.counts[counted] += 1
            self.failed()
            future.set_result(None)
            return True

    def _answer(self, future: Future[Found | None], found: Found | None) -> None:
        """Answer, unless it took too long."""
        with self._answering:
            if not future.done():
                future.set_result(found)

    def _quietly(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:
            log.warning("latent cache not available: %r", error)
            self.failed()
