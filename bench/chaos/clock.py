"""Steps of the clock, by libfaketime (Debian: `apt-get install faketime`), for all processes of Argus but services.

They read the offset from a file, every second. Only the wall clock is moved: the kernel's monotonic clock never steps.
"""

from __future__ import annotations

from glob import glob
from pathlib import Path

LIBRARY = "/usr/lib/*/faketime/libfaketimeMT.so.1"


class Clock:
    """The offset of the clock in `file`, in seconds."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.library = next(iter(glob(LIBRARY)), None)

    def environ(self) -> dict[str, str]:
        """Settings of processes whose clock this is; none where the library is missing."""
        if self.library is None:
            return {}
        self.set(0)
        return {
            "LD_PRELOAD": self.library,
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
            "NO_FAKE_STAT": "1",
            "FAKETIME_SKIP_CMDS": "valkey-server",
        }

    def set(self, offset_s: int) -> None:
        """From the next second on, clocks are so far off."""
        partial = self.file.with_suffix(".partial")
        partial.write_text(f"{offset_s:+d}\n")
        partial.replace(self.file)
