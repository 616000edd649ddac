"""Who runs beside whom: any number of requests together, or one that is suspected of breaking devices, alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Company:
    """Turns between requests that share the device and those that have it to themselves.

    One that wants to be alone waits until the others have ended, and nobody begins meanwhile.
    """

    def __init__(self) -> None:
        self._together = 0
        self.wanted_alone = 0  # those that are, or want to be
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, alone: bool) -> Iterator[None]:
        """Have the device for the block, with others or alone."""
        with self._changed:
            self.wanted_alone += alone
            self._changed.wait_for(lambda: not (self._together if alone else self.wanted_alone))
            self._together += 1
        try:
            yield
        finally:
            with self._changed:
                self._together -= 1
                self.wanted_alone -= alone
                self._changed.notify_all()
