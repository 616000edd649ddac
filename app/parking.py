"""Answers that go on later: a stream that has nothing to say holds a socket, and no thread.

::

    thread ──stream yields a Pause──▶ Parked ──woken, or its time has come──▶ one of STREAM_THREADS goes on with it

The server hands the app `PARK` in the WSGI environment; `parking` makes of a stream an answer that ends for the thread
at the first pause, while the rest of it is kept. Servers without it block at every pause (`waiting.blocking`).
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import structlog
from waitress.channel import ClientDisconnected
from waitress.task import ThreadedTaskDispatcher

from app.waiting import Pause

log = structlog.get_logger(__name__)
STREAM_THREADS = 4
Stream = Iterator[str | Pause]


class Alarms:
    """A thread that calls back at a time."""

    def __init__(self) -> None:
        self._condition, self._numbers = threading.Condition(), itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._thread: threading.Thread | None = None

    def at(self, due: float, call: Callable[[], None]) -> None:
        """Call back when the monotonic clock says so."""
        with self._condition:
            heapq.heappush(self._due, (due, next(self._numbers), call))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="alarms", daemon=True)
                self._thread.start()
            self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                left = self._due[0][0] - time.monotonic() if self._due else None
                if left is None or left > 0:
                    self._condition.wait(left)
                    continue
                call = heapq.heappop(self._due)[2]
            call()


class Parked:
    """The rest of an answer, between two pauses.

    Args:
        write: takes text of the answer, from any thread.
        end: is called once, when nothing more will come.
    """

    def __init__(self, lot: Lot, rest: Stream, write: Callable[[bytes], Any], end: Callable[[], None]) -> None:
        self._lot, self._rest, self._write, self._end = lot, rest, write, end
        self._lock = threading.Lock()
        self._pause: Pause | None = None

    def park(self, pause: Pause) -> None:
        """Go on when there is a reason to, or after the pause's time."""
        with self._lock:
            self._pause = pause
        self._lot.alarms.at(time.monotonic() + pause.most_s, lambda: self._go_on(pause))
        pause.follower.call(lambda: self._woken(pause))

    def service(self) -> None:
        """Write what there is until the next pause; a thread of the lot's does this."""
        try:
            for item in self._rest:
                if isinstance(item, Pause):
                    self.park(item)
                    return
                self._write(item.encode())
        except (OSError, ClientDisconnected):
            pass
        except Exception:
            log.exception("a stream ended")
        self._rest.close()  # type: ignore[attr-defined]  # it is a generator
        self._end()

    def cancel(self) -> None:
        """waitress asks that of what waits when it stops."""

    def _woken(self, pause: Pause) -> None:
        """There is news; soon after the last time it waits a little, for more may come."""
        if (now := time.monotonic()) < pause.not_before and not pause.follower.client_is_gone:
            self._lot.alarms.at(min(pause.not_before, now + pause.most_s), lambda: self._go_on(pause, news=True))
        else:
            self._go_on(pause, news=True)

    def _go_on(self, pause: Pause, news: bool = False) -> None:
        """Once for each pause, whoever says so first."""
        with self._lock:
            if self._pause is not pause:
                return
            self._pause = None
        pause.over(news)
        self._lot.threads.add_task(self)


class Lot:
    """Where answers are parked, and the threads that go on with them."""

    def __init__(self) -> None:
        self.alarms, self.threads = Alarms(), ThreadedTaskDispatcher()
        self.threads.set_thread_count(STREAM_THREADS)


def parking(stream: Stream, park: Callable[[Stream, Pause], None]) -> Iterator[str]:
    """A stream up to its first pause; then it is handed over."""
    try:
        for item in stream:
            if isinstance(item, Pause):
                park(stream, item)
                return
            yield item
    except GeneratorExit:  # the client is gone already
        stream.close()  # type: ignore[attr-defined]
        raise
