"""Steps of the wall clock, for all processes that `argus up` starts; PostgreSQL's clock does not move.

libfaketime would be the library for it. But Python sleeps until a time of the monotonic clock, and told to leave that
clock alone, as every kernel does, libfaketime 0.9.10 makes of it a time that `clock_nanosleep` refuses (EINVAL from
`time.sleep`). So `clock.c` moves the wall clock only. It is compiled where it is used.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")


class Clock:
    """The wall clock of processes that are started with `environ`. `library` is None where there is no C compiler."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "clock"
        self.library = _compiled(folder / "clock.so")
        self.set(0)

    def environ(self) -> dict[str, str]:
        """Settings of processes whose clock this is."""
        return {"LD_PRELOAD": str(self.library), "CHAOS_CLOCK": str(self.file)} if self.library else {}

    def set(self, offset_s: float) -> None:
        """From now on, the clock is so far off."""
        with self.file.open("r+b" if self.file.exists() else "wb") as file:
            file.write(struct.pack("d", offset_s))


def _compiled(library: Path) -> Path | None:
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    words = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl", "-lm"]
    return library if subprocess.run(words, capture_output=True).returncode == 0 else None
