"""Natural batching: what arrives while one batch runs goes into the next. Nobody waits for a batch to fill.

A batch whose database is away waits for it, and what arrives meanwhile with it: a message that was taken is not lost.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Generic, TypeVar

from core.database import patiently

Item = TypeVar("Item")


class Batcher(Generic[Item]):
    """Collects items from many threads and works them off in one.

    Args:
        work: done for a batch, in the batcher's thread; what it raises reaches all who wait for that batch.
        most: items of one batch.
    """

    def __init__(self, name: str, work: Callable[[Sequence[Item]], object], most: int) -> None:
        self._work = work
        self._most = most
        self._waiting: list[tuple[Item, Future[None]]] = []
        self._filled = threading.Condition()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def do(self, item: Item) -> None:
        """Have an item worked off; returns when its batch is done."""
        done: Future[None] = Future()
        with self._filled:
            self._waiting.append((item, done))
            self._filled.notify()
        done.result()

    def _run(self) -> None:
        while True:
            batch = self._take()
            try:
                patiently(partial(self._work, [item for item, _ in batch]))
            except Exception as error:
                for _, done in batch:
                    done.set_exception(error)
            else:
                for _, done in batch:
                    done.set_result(None)

    def _take(self) -> list[tuple[Item, Future[None]]]:
        with self._filled:
            self._filled.wait_for(lambda: bool(self._waiting))
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        return batch
