"""What a worker runs on: `cpu:0` is the first CPU slot of a host, `cuda:1` its second GPU. torch is imported late."""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import subprocess
from pathlib import Path

from core.errors import BadSettings
from core.families import Family
from core.gpus import devices_of
from core.measured import measured_file
from core.settings import settings

FOR_MODELS = 0.8  # of a device's memory; the rest is for what steps take


def worker_name(device: str) -> str:
    """Celery node name of a device's worker on this host."""
    return f"{device.replace(':', '')}@{socket.gethostname()}"


def local_devices() -> list[str]:
    """Devices to run a worker on, as set or as found, without importing torch: every GPU, else one CPU slot.

    Raises:
        BadSettings: an entry of ARGUS_DEVICES is neither `cpu:N` nor a `cuda:N` that exists, or stands twice.
    """
    if settings().devices == "auto":
        return [f"cuda:{i}" for i in range(len(visible_gpus()))] or ["cpu:0"]
    asked = [checked(entry.strip()) for entry in settings().devices.split(",") if entry.strip()]
    if not asked or len(set(asked)) < len(asked):
        raise BadSettings("ARGUS_DEVICES names no device, or one twice.", field="ARGUS_DEVICES")
    return asked


def checked(device: str) -> str:
    """The device as written, when this host has it; raises `BadSettings`."""
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or not index.isdecimal():
        raise BadSettings(f"{device!r} is no device: write cpu:0, cuda:0, … (ARGUS_DEVICES).", field="ARGUS_DEVICES")
    if kind == "cuda" and int(index) >= len(visible_gpus()):
        raise BadSettings(f"There is no {device}: this host has {len(visible_gpus())} GPUs.", field="ARGUS_DEVICES")
    return device


def visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES is set to for each device in turn: index, UUID of a slice, or what it names."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [entry.strip() for entry in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if entry.strip()]
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (subprocess.SubprocessError, OSError):
        return []
    return devices_of(listed)


def torch_device(device: str) -> str:
    """The device as torch names it: CPU slots are all `cpu`."""
    return "cpu" if device.startswith("cpu") else device


def device_type(device: str) -> str:
    """What profiles are named by: `cpu`, or the GPU's name in lower case with dashes."""
    if device.startswith("cpu"):
        return "cpu"
    import torch

    return re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name(device).lower()).strip("-")


def profile_path(family: Family, device_type: str) -> Path:
    """Where the profile of a device type lies: what was measured here (`home`/profiles), else what came with Argus."""
    return measured_file(family.id, f"{device_type}.json")


def threads(device: str) -> int:
    """torch threads of one worker: CPU slots share the cores, so that workers do not fight."""
    if settings().threads:
        return settings().threads
    cores = len(os.sched_getaffinity(0))
    slots = settings().devices.count("cpu:") if device.startswith("cpu") else 1
    return max(1, cores // max(1, slots))


def memory_mb(device: str) -> float:
    """Memory for resident models, in MB: as set, else `FOR_MODELS` of the device's (CPU slots share the host's)."""
    if settings().memory_mb:
        return settings().memory_mb
    if device.startswith("cuda"):
        import torch

        return FOR_MODELS * torch.cuda.get_device_properties(device).total_memory / 1e6
    import psutil

    return FOR_MODELS * psutil.virtual_memory().total / 1e6 / max(1, settings().devices.count("cpu:"))


def processor() -> str:
    """The CPU's model, as Linux names it."""
    info = Path("/proc/cpuinfo").read_text()
    names = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()
