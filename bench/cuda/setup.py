"""What the parts measure on: the device, models with random weights, and requests."""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.families import Family, Quantization
from workers.engine.loading import ModelLoader, warm_up
from workers.engine.request import GenerationRequest
from workers.pipelines import load_adapter
from workers.pipelines.base import Adapter
from workers.pipelines.fastest_forward import FastestForward, Mode
from workers.pipelines.graphs import CudaRecorder, Recorder, Replay
from workers.pipelines.random_weights import random_family
from workers.pipelines.rows import Batch, Start

PROMPTS = (
    "three foxes on a purple background",
    "two yellow bananas on a blue background",
    "a green apple on a white background",
    "an owl on a pink background",
)


@dataclass
class Setup:
    """The device, its usual dtype, and toy widths for a run without a GPU."""

    device: str
    toy: bool = False
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="argus-cuda-")))

    @property
    def on_cuda(self) -> bool:
        return self.device.startswith("cuda")

    @property
    def half(self) -> torch.dtype:
        return torch.bfloat16

    def family(
        self, architecture: str, side: int = 1024, steps: int = 20, quantization: Quantization | None = None
    ) -> Family:
        """A family of random weights, drawn on the device when they are loaded; at toy widths from a folder."""
        folder = self.folder / architecture if self.toy else None
        family = random_family(architecture, folder, self.toy, quantization=quantization)
        side = 64 if self.toy else side
        defaults = family.defaults.model_copy(update={"width": side, "height": side, "steps": steps})
        return family.model_copy(update={"defaults": defaults})

    def adapter(self, family: Family, dtype: torch.dtype | None = None) -> Adapter:
        """The family's first model, weights in this dtype also on the CPU."""
        model = next(iter(family.models.values()))
        adapter = load_adapter(model, self.device, dtype or self.half, autocast=False)
        self.wait()  # other streams use the weights
        return adapter

    def measure(self, adapter: Adapter, family: Family, rows: int, graphs: Mode = "auto") -> dict[int, str]:
        """Find the fastest way to run its forward at the family's default size; answers it by rows."""
        adapter.fastest = FastestForward(adapter.attended, self.recorder(), graphs)
        warm_up(adapter, self.request(adapter, family), rows)
        return adapter.fastest.kept()

    def request(self, adapter: Adapter, family: Family) -> GenerationRequest:
        """One as most are."""
        return ModelLoader(family, self.device, adapter.dtype, 1).warm_up_request(adapter.model)

    def recorder(self) -> Recorder:
        """Of CUDA graphs; on the CPU one that runs the work again."""
        return CudaRecorder(torch.device(self.device)) if self.on_cuda else _Again()

    def wait(self) -> None:
        """Until the device has done everything."""
        if self.on_cuda:
            torch.cuda.synchronize(self.device)

    def peak_mb(self, work: Callable[[], object]) -> float:
        """MB that a piece of work takes at its height; 0 on the CPU, where nobody counts."""
        self.tidy()
        if not self.on_cuda:
            work()
            return 0.0
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        work()
        return (torch.cuda.max_memory_allocated(self.device) - before) / 1e6

    def tidy(self) -> None:
        """Give back what nothing refers to."""
        gc.collect()
        if self.on_cuda:
            torch.cuda.empty_cache()

    def seconds(self, work: Callable[[], object], repeats: int = 5) -> float:
        """Seconds of a piece of work in a row of such, the device awaited at the end: as a loop runs it."""
        work()
        self.wait()
        began = time.perf_counter()
        for _ in range(repeats):
            work()
        self.wait()
        return (time.perf_counter() - began) / repeats


class _Again:
    """A recorder for the CPU: runs the work again."""

    def record(self, work: Replay) -> Replay:
        return work

    def wait(self) -> None:
        pass

    def takes(self, work: Replay) -> tuple[float, float]:
        return 0.0, 1.0


def requests_of(family: Family, count: int, prefix: str = "r", **changes: Any) -> list[GenerationRequest]:
    """Requests at the family's reference level and defaults, each with a seed of its own."""
    d, level = family.defaults, family.level(family.reference)
    plain = [
        GenerationRequest(f"{prefix}{n}", PROMPTS[n % 4], n, level, d.steps, d.guidance, d.width, d.height)
        for n in range(count)
    ]
    return [replace(request, **changes) for request in plain]


def batch_of(adapter: Adapter, family: Family, rows: int, steps: int = 50) -> Batch:
    """A batch at its first step, with many to go."""
    (request,) = requests_of(family, 1)
    row = [adapter.prepare(replace(request, seed=n), Start(steps), request.guidance) for n in range(rows)]
    return Batch.of(row)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Peak signal-to-noise ratio of pictures in dB."""
    error = ((one.astype(float) - other.astype(float)) ** 2).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-12)))


def stacked(images: Sequence[Any]) -> np.ndarray:
    """Pictures as one array."""
    return np.stack([np.asarray(image) for image in images])
