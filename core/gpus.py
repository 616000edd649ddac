"""The NVIDIA GPUs of this host, as `nvidia-smi` tells of them: without torch, and without a CUDA context."""

from __future__ import annotations

import csv
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace

GPU_COLUMNS = (
    "index",
    "uuid",
    "name",
    "driver_version",
    "memory.total",
    "memory.used",
    "compute_cap",
    "mig.mode.current",
)
PROCESS_COLUMNS = ("gpu_uuid", "pid", "process_name", "used_memory")
MIB = 1.048576  # in MB
INSTANCE = re.compile(r"^\s+MIG (?P<profile>\S+)\s+Device\s+\d+:\s+\(UUID: (?P<uuid>MIG-[^)]+)\)")


@dataclass(frozen=True)
class Process:
    """A program that computes on a GPU; memory in MB, 0 where the driver does not say."""

    pid: int
    name: str
    memory_mb: float


@dataclass(frozen=True)
class Instance:
    """A slice of a GPU (MIG) that CUDA sees as a device of its own."""

    profile: str  # e.g. 1g.10gb
    uuid: str

    @property
    def memory_mb(self) -> float:
        """As its profile says."""
        told = re.search(r"(\d+)gb", self.profile)
        return 1000.0 * int(told[1]) if told else 0.0


@dataclass(frozen=True)
class Gpu:
    """One GPU; memory in MB. `instances` are its slices where MIG is on: then it can't be used as a whole."""

    index: int
    uuid: str
    name: str
    driver: str
    memory_mb: float
    used_mb: float
    capability: str
    mig: bool
    instances: tuple[Instance, ...] = ()
    processes: tuple[Process, ...] = ()

    @property
    def devices_mb(self) -> list[float]:
        """Memory of each device that CUDA sees of it."""
        return [part.memory_mb for part in self.instances] or [self.memory_mb]


def gpus() -> list[Gpu]:
    """All GPUs of the host, whatever CUDA_VISIBLE_DEVICES hides.

    Raises:
        OSError, subprocess.SubprocessError: there is no `nvidia-smi`, or the driver does not answer.
    """
    found = parsed(_ask(f"--query-gpu={','.join(GPU_COLUMNS)}", "--format=csv,noheader,nounits"))
    running = _ask(f"--query-compute-apps={','.join(PROCESS_COLUMNS)}", "--format=csv,noheader,nounits")
    listed = _ask("-L") if any(gpu.mig for gpu in found) else ""
    return [
        replace(gpu, processes=processes_of(running, gpu.uuid), instances=instances_of(listed, gpu.index))
        for gpu in found
    ]


def parsed(text: str) -> list[Gpu]:
    """GPUs from the lines of `--query-gpu`."""
    return [
        Gpu(int(index), uuid, name, driver, MIB * _number(total), MIB * _number(used), capability, mig == "Enabled")
        for index, uuid, name, driver, total, used, capability, mig in _rows(text, len(GPU_COLUMNS))
    ]


def processes_of(text: str, uuid: str) -> tuple[Process, ...]:
    """Those of one GPU from the lines of `--query-compute-apps`."""
    rows = _rows(text, len(PROCESS_COLUMNS))
    return tuple(Process(int(pid), name, MIB * _number(used)) for gpu, pid, name, used in rows if gpu == uuid)


def instances_of(listed: str, index: int) -> tuple[Instance, ...]:
    """The slices of one GPU from the lines of `nvidia-smi -L`."""
    current, found = -1, []
    for line in listed.splitlines():
        if head := re.match(r"GPU (\d+):", line):
            current = int(head[1])
        elif current == index and (match := INSTANCE.match(line)):
            found.append(Instance(match["profile"], match["uuid"]))
    return tuple(found)


def devices_of(listed: str) -> list[str]:
    """What CUDA_VISIBLE_DEVICES calls each device of `nvidia-smi -L`: a GPU by its index, a slice by its UUID."""
    heads = re.findall(r"^GPU (\d+):", listed, re.MULTILINE)
    return [
        name
        for index in heads
        for name in ([instance.uuid for instance in instances_of(listed, int(index))] or [index])
    ]


def _rows(text: str, columns: int) -> Iterator[list[str]]:
    rows = ([cell.strip() for cell in row] for row in csv.reader(text.splitlines()))
    return (row for row in rows if len(row) == columns)


def _number(text: str) -> float:
    """0 where the driver says [N/A] or [Insufficient Permissions]."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def _ask(*words: str) -> str:
    return subprocess.run(["nvidia-smi", *words], capture_output=True, text=True, timeout=20, check=True).stdout
