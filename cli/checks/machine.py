"""This machine: Python and packages, disk, memory, GPUs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

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


def gpu() -> Iterator[Finding]:
    """Driver and devices, where there is NVIDIA hardware."""
    if not Path("/proc/driver/nvidia/version").exists() and shutil.which("nvidia-smi") is None:
        yield Finding("GPU", True, "none: workers use the CPU")
        return
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding("GPU", False, f"the driver does not answer ({error}): install it or reboot after an update")
        return
    for index, line in enumerate(listed.splitlines()):
        yield Finding(f"GPU {index}", True, line)
