"""Threads for work that may hang on a network or a device: the process does not wait for them when it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import Empty, SimpleQueue
from typing import Any

CLOSE_S = 10.0  # how long the work at hand is waited for


class DaemonExecutor(Executor):
    """Runs what is submitted, in order, on daemon threads that start with the first submission."""

    def __init__(self, name: str, threads: int = 1) -> None:
        self._names = [f"{name}-{number}" for number in range(threads)]
        self._threads: list[threading.Thread] = []
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._lock = threading.Lock()

    @property
    def backlog(self) -> int:
        """How much waits to be begun."""
        return self._work.qsize()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        with self._lock:
            if not self._threads:
                self._threads = [threading.Thread(target=self._run, name=name, daemon=True) for name in self._names]
                for thread in self._threads:
                    thread.start()
        self._work.put((future, lambda: fn(*args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads after what they are at, or leave them behind when that takes too long."""
        if cancel_futures:
            self._cancel()
        until = time.monotonic() + CLOSE_S
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads if wait else ():
            thread.join(max(0.0, until - time.monotonic()))

    def _cancel(self) -> None:
        try:
            while (work := self._work.get_nowait()) is not None:
                work[0].cancel()
        except Empty:
            pass

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            complete(*work)


class InlineExecutor(Executor):
    """Does the work at once, in the caller's thread."""

    backlog = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        complete(future, lambda: fn(*args, **kwargs))
        return future


def complete(future: Future[Any], work: Callable[[], Any]) -> None:
    """Do the work of a future, unless it was cancelled."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
