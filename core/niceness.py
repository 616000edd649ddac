"""Giving way to what makes images, where all want the processors."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

NICE = 10  # a tenth of the share of what makes images
AUTOGROUP = Path("/proc/self/autogroup")


def give_way() -> None:
    """Have this process get a tenth of what others of Argus do.

    Linux may schedule sessions against each other, and niceness within a session only (autogroups, sched(7)). Argus
    starts each process in a session of its own, so there the session is made nice too.
    """
    os.nice(NICE)
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # no Linux, no such schedule, or not allowed
            AUTOGROUP.write_text(str(NICE))
