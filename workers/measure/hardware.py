"""What a measurement was made on and with."""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path
from typing import Any

import diffusers
import torch

from core import devices

DRIVER = Path("/proc/driver/nvidia/version")


def hardware(device: str, dtype: torch.dtype) -> dict[str, Any]:
    """Device, data type and versions, as profiles and pages record them."""
    on_gpu = device.startswith("cuda")
    return {
        "name": torch.cuda.get_device_name(device) if on_gpu else devices.processor(),
        "threads": torch.get_num_threads(),
        "dtype": str(dtype).removeprefix("torch."),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "python": platform.python_version(),
        **(_gpu(device) if on_gpu else {}),
    }


def _gpu(device: str) -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(device)
    return {
        "driver": _driver(),
        "cuda": str(torch.version.cuda),
        "capability": f"{properties.major}.{properties.minor}",
        "memory_gib": round(properties.total_memory / 2**30, 1),
    }


def _driver() -> str:
    """Version of NVIDIA's kernel driver; empty where it can't be read."""
    if DRIVER.is_file():
        found = re.search(r"\b\d{3}\.\d+(\.\d+)?\b", DRIVER.read_text())
        return found.group() if found else ""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return ""
