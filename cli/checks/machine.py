"""This machine: Python and packages, disk, memory."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from cli.checks.finding import Finding
from core.settings import CHECKOUT, ROOT, settings

DISK_GB = 5.0
MEMORY_GB = 2.0


def python() -> Iterator[Finding]:
    """Version of Python and of the packages that are pinned."""
    found = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding("python", sys.version_info >= (3, 11), f"{found} (3.11 or newer is needed)")
    wrong = list(_not_as_pinned() if CHECKOUT else _unmet_requirements())
    wanted, command = ("constraints.txt pins them", "make install") if CHECKOUT else ("Argus needs them", "pip check")
    yield Finding("packages", not wrong, f"{'; '.join(wrong[:5])}: run `{command}`" if wrong else f"as {wanted}")


def _unmet_requirements() -> Iterator[str]:
    """What an installed Argus asks for and does not find."""
    from packaging.requirements import Requirement

    for wanted in map(Requirement, requires("argus") or []):
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            yield f"{wanted.name} is missing"
            continue
        if not wanted.specifier.contains(found.partition("+")[0], prereleases=True):
            yield f"{wanted.name} is {found}, not {wanted.specifier}"


def _not_as_pinned() -> Iterator[str]:
    """Packages that differ from what constraints.txt pins; one that is not installed is somebody's choice."""
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, _, pinned = line.partition("==")
        try:
            found = version(name)
        except PackageNotFoundError:
            continue
        if found.partition("+")[0] != pinned:
            yield f"{name} is {found}, not {pinned}"


def disk() -> Iterator[Finding]:
    """Room where Argus keeps its data."""
    home = settings().home.absolute()
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(place).free / 1e9
    yield Finding("disk", free >= DISK_GB, f"{free:.0f} GB free in {place} ({DISK_GB:.0f} are wanted)")


def memory() -> Iterator[Finding]:
    """Memory that programs can still have."""
    import psutil

    free = psutil.virtual_memory().available / 1e9
    yield Finding("memory", free >= MEMORY_GB, f"{free:.1f} GB available ({MEMORY_GB:.0f} are wanted)")
