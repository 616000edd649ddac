"""How an engine makes its adapters: the weights on its device in its dtype, compiled and warmed up on CUDA."""

from __future__ import annotations

from pathlib import Path

import torch

from core.families import Family, Model
from core.settings import settings
from workers.engine.request import GenerationRequest
from workers.pipelines import load_adapter
from workers.pipelines.base import Adapter
from workers.pipelines.rows import Batch, Start


def default_dtype(device: str) -> torch.dtype:
    """float32 on the CPU, bfloat16 on CUDA."""
    return torch.bfloat16 if device.startswith("cuda") else torch.float32


def configured_dtype(device: str) -> torch.dtype:
    """The denoisers' dtype on a device as ARGUS_DTYPE has it."""
    name = settings().dtype
    return default_dtype(device) if name == "auto" else getattr(torch, name)


class ModelLoader:
    """Loads the models of a family for one device."""

    def __init__(self, family: Family, device: str, dtype: torch.dtype | None, max_batch: int, compiled: bool) -> None:
        self.family, self.device, self.max_batch, self.compiled = family, device, max_batch, compiled
        self.on_cuda = device.startswith("cuda")
        self.dtype = dtype or default_dtype(device)

    def load(self, model: Model) -> Adapter:
        """Weights and all; on CUDA the first request meets warm kernels."""
        adapter = load_adapter(model, self.device, self.dtype)
        if self.on_cuda:
            if self.compiled:
                adapter.compile()
            self._warm_up(adapter, self.max_batch)
        return adapter

    def expected_mb(self, model: Model) -> float:
        """Megabytes of a model's weight files (0 for a name on the hub)."""
        files = Path(model.location).rglob("*.safetensors")
        return sum(file.stat().st_size for file in files) / 1e6

    def _warm_up(self, adapter: Adapter, rows: int) -> None:
        """One step of a full batch and one decode."""
        size, level = self.family.defaults, self.family.levels_of(adapter.model.id)[0]
        request = GenerationRequest("warm-up", "warm-up", 0, level, 2, size.guidance, size.width, size.height)
        row = adapter.prepare(request, Start(steps=2), request.guidance)
        adapter.denoise(Batch.of([row] * rows))
        adapter.decode(row.latent, row.size)
