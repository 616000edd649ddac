"""The NVIDIA GPUs: driver, memory, who else computes there, what CUDA is shown, and which models of the family fit."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from cli.checks.finding import Finding
from core.devices import FOR_MODELS
from core.gpus import Gpu, gpus
from core.settings import settings

GB = 1000.0  # MB


def gpu() -> Iterator[Finding]:
    """Every GPU, where there is NVIDIA hardware."""
    if not Path("/proc/driver/nvidia/version").exists() and shutil.which("nvidia-smi") is None:
        yield Finding("GPU", True, "none: workers use the CPU")
        return
    try:
        found = gpus()
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding("GPU", False, f"the driver does not answer ({error}): install it or reboot after an update")
        return
    yield from visible(found)
    for one in found:
        yield from about(one)
    yield from needs(found)


def visible(found: list[Gpu]) -> Iterator[Finding]:
    """What CUDA_VISIBLE_DEVICES leaves to Argus, where it is set."""
    if "CUDA_VISIBLE_DEVICES" not in os.environ:
        return
    asked = [word.strip() for word in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if word.strip()]
    known = {name for one in found for name in (str(one.index), one.uuid, *(part.uuid for part in one.instances))}
    unknown = [word for word in asked if not any(_means(word, name) for name in known)]
    subject = "CUDA_VISIBLE_DEVICES"
    if unknown:
        wrong = f"names {', '.join(unknown)}, which is not here"
        yield Finding(subject, False, f"{wrong}: unset it, or name of {_names(found)}")
    elif not asked:
        yield Finding(subject, True, "is empty: workers use the CPU")
    else:
        yield Finding(subject, True, f"{','.join(asked)}: Argus uses {len(asked)} of {_names(found)}")


def about(one: Gpu) -> Iterator[Finding]:
    """One GPU: what it is, its slices, and who else has its memory."""
    memory = f"{one.memory_mb / GB:.1f} GB, {one.used_mb / GB:.1f} in use"
    text = f"{one.name}, driver {one.driver}, {memory}, compute capability {one.capability}"
    yield Finding(f"GPU {one.index}", True, text)
    if one.mig and one.instances:
        slices = ", ".join(part.profile for part in one.instances)
        yield Finding(f"GPU {one.index} MIG", True, f"on: each of {slices} is a device")
    elif one.mig:
        yield Finding(f"GPU {one.index} MIG", False, "on without slices, nothing can run: make some, or turn it off")
    others = [process for process in one.processes if not _is_worker(process.pid)]
    if others:
        told = ", ".join(f"{process.name} (pid {process.pid}, {process.memory_mb / GB:.1f} GB)" for process in others)
        room = one.memory_mb - sum(process.memory_mb for process in others) >= FOR_MODELS * one.memory_mb
        what = "also computes here" if room else "leaves Argus too little: stop it, or lower ARGUS_MEMORY_MB"
        yield Finding(f"GPU {one.index} others", room or bool(settings().memory_mb), f"{told}: {what}")


def needs(found: list[Gpu]) -> Iterator[Finding]:
    """Which models of the family fit into the largest device's budget; that none does is wrong."""
    from core.errors import NoModelFits
    from core.families import load_family
    from workers.engine.fitting import check_fits, sizes_mb
    from workers.engine.loading import configured_dtype

    if not found:
        return
    family = load_family(settings().family)
    budget_mb = settings().memory_mb or FOR_MODELS * max(mb for one in found for mb in one.devices_mb)
    sizes = sizes_mb(family, configured_dtype("cuda"))
    try:
        check_fits(family, configured_dtype("cuda"), budget_mb)
    except NoModelFits as error:
        yield Finding(f"family {family.id}", False, error.message)
        return
    told = [f"{name} {mb / GB:.1f} GB{'' if mb <= budget_mb else ' (does not fit)'}" for name, mb in sizes.items()]
    yield Finding(f"family {family.id}", True, f"{budget_mb / GB:.1f} GB for weights; {', '.join(told)}")


def _means(word: str, name: str) -> bool:
    """Whether CUDA takes a word for a device: its index, or the beginning of its UUID."""
    return name == word or (word.startswith(("GPU-", "MIG-")) and name.startswith(word))


def _names(found: list[Gpu]) -> str:
    return ", ".join([part.uuid for one in found for part in one.instances] or [str(one.index) for one in found])


def _is_worker(pid: int) -> bool:
    """Whether it is a worker of this Argus or another: they share the memory by its settings."""
    try:
        return b"\0worker\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
