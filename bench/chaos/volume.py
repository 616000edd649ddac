"""A folder that can be filled, made read-only, slowed down and taken away.

As root on Linux it is an ext4 file system of its own in a file (loop device); `fsfreeze` holds its writes as a network
store that hangs would. Elsewhere it is a plain folder, which can only be taken away. What uses it is given a symbolic
link, which is put aside and back in one step.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SIZE_MB = 512
HELD_S, FLOWING_S = 1.2, 0.3  # a slow store: held so long, then open so long
REMOUNTS = 40
TOOLS = ("/sbin", "/usr/sbin")


class Volume:
    """`link` is the folder's name for those who use it; everything lies under `base`."""

    def __init__(self, base: Path, name: str) -> None:
        self.base, self.name = base, name
        self.link, self._mount = base / name, base / f"{name}.mount"
        self._folder = self._mount / "files"
        self.mounted = False

    def create(self) -> None:
        """Make the folder, on a file system of its own where that is possible."""
        self._mount.mkdir(parents=True)
        self.mounted = self._make_file_system()
        self._folder.mkdir()
        self.link.symlink_to(self._folder)

    def remove(self) -> None:
        """Take the file system away; files that are wanted must be read before."""
        if self.mounted:
            with suppress(subprocess.CalledProcessError):
                _run("umount", "--lazy", str(self._mount))
        self.mounted = False

    @contextmanager
    def full(self) -> Iterator[bool]:
        """Not a byte is left."""
        ballast = self._mount / "ballast"
        try:
            with ballast.open("wb") as file, suppress(OSError):
                while True:
                    free = os.statvfs(self._mount).f_bavail * os.statvfs(self._mount).f_frsize
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, max(free, 4096))
            yield True
        finally:
            ballast.unlink(missing_ok=True)

    @contextmanager
    def read_only(self) -> Iterator[bool]:
        """Nothing can be written; false where a file that was being written kept it from becoming so."""
        try:
            yield self._remount("ro")
        finally:
            self._remount("rw")

    @contextmanager
    def slow(self) -> Iterator[bool]:
        """Writes hang most of the time."""
        over = threading.Event()

        def pulse() -> None:
            while not over.is_set():
                _run("fsfreeze", "--freeze", str(self._mount))
                try:
                    over.wait(HELD_S)
                finally:
                    _run("fsfreeze", "--unfreeze", str(self._mount))
                over.wait(FLOWING_S)

        thread = threading.Thread(target=pulse, name="slow")
        thread.start()
        try:
            yield True
        finally:
            over.set()
            thread.join()

    @contextmanager
    def away(self) -> Iterator[bool]:
        """In its place is something that is no folder."""
        nothing = self.base / f"{self.name}.nothing"
        nothing.touch()
        self._point_to(nothing)
        try:
            yield True
        finally:
            self._point_to(self._folder)

    def _point_to(self, target: Path) -> None:
        other = self.base / f"{self.name}.new"
        other.symlink_to(target)
        other.replace(self.link)

    def _make_file_system(self) -> bool:
        image = self.base / f"{self.name}.ext4"
        with image.open("wb") as file:
            file.truncate(SIZE_MB << 20)
        try:
            _run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
            _run("mount", "-o", "loop", str(image), str(self._mount))
        except (OSError, subprocess.CalledProcessError):
            return False
        self._mount.chmod(0o755)
        return True

    def _remount(self, how: str) -> bool:
        """Whether it was done; a file that is just being written is waited for."""
        for _ in range(REMOUNTS):
            with suppress(subprocess.CalledProcessError):
                _run("mount", "-o", f"remount,{how}", str(self._mount))
                return True
            time.sleep(0.05)
        return False


def _run(*words: str) -> None:
    path = os.pathsep.join((os.environ.get("PATH", ""), *TOOLS))
    subprocess.run(words, check=True, capture_output=True, env={**os.environ, "PATH": path})
