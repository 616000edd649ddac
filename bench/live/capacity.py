"""Exact capacity here and now: both slots profiled at the same time. The profile is in force for every policy."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.live.instance import DEVICES, environ
from cli.processes import ARGUS
from core.errors import ServiceDown
from core.families import Family
from scheduler.observation.target import target_of


def profiled(home: Path, family: Family) -> list[dict[str, Any]]:
    """Profiles of the slots, measured at the same time; the first is put in force in `home`."""
    home.mkdir(parents=True, exist_ok=True)
    files = profile_files(home)
    settings = environ(home, "argus", 0.0)
    words = [
        [*ARGUS, "profile", "--family", family.id, "--device", device, "--out", str(file)]
        for device, file in zip(DEVICES, files, strict=True)
    ]
    started = [subprocess.Popen(each, env=settings, stdout=subprocess.DEVNULL) for each in words]
    try:
        statuses = [process.wait() for process in started]
    finally:
        for process in started:
            process.terminate()
    if any(statuses):
        raise ServiceDown("argus profile failed; what it said stands above.")
    return read_profiled(home)


def read_profiled(home: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in profile_files(home)]


def profile_files(home: Path) -> list[Path]:
    """Where the profiles of a run's slots lie."""
    return [home / f"profile-{device.replace(':', '')}.json" for device in DEVICES]


def put_in_force(profile: dict[str, Any], home: Path) -> None:
    """Lay a profile where workers and scheduler of this home look first."""
    file = home / "profiles" / profile["family"] / f"{profile['device']}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(profile, indent=1))


def common_target_s(exact: Sequence[dict[str, Any]]) -> float:
    """The target latency of all policies: the default for what the reference level takes in the slower slot, beside the
    other one."""
    return target_of(max(level["latency_s"] for level in exact))


def reference_of(profile: dict[str, Any], family: Family) -> dict[str, Any]:
    """What the profile says of the reference level."""
    return next(level for level in profile["levels"] if level["id"] == family.reference)
