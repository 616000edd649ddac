"""For what a thread does that nobody waits for."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(holds: Callable[[], bool], within_s: float = 30.0) -> None:
    """Wait until it holds; fails where it does not in time."""
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.005)
