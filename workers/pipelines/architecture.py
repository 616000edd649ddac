"""What a pipeline class must say for itself, so that its rows can share forwards."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from core.families import Model
from workers.engine.request import GenerationRequest
from workers.pipelines import weights
from workers.pipelines.rows import Tensors


class Architecture:
    """One pipeline class: weights, prompts, denoiser, decoder. An adapter (`base.py`) is one of these."""

    model: Model
    device: torch.device
    dtype: torch.dtype  # of weights and activations
    scheduler: Any  # the sampler as diffusers has it

    def load(self) -> Any:
        """Load weights to the device and answer the checkpoint's scheduler."""
        raise NotImplementedError

    def encode_prompt(self, prompt: str) -> Tensors:
        """What the denoiser sees of a prompt; no batch axis."""
        raise NotImplementedError

    def encode_negative(self, prompt: str) -> Tensors:
        """The same of a negative prompt, where the pipeline class treats it differently."""
        return self.encode_prompt(prompt)

    def inputs_of(self, request: GenerationRequest, guidance: float) -> Tensors:
        """What the denoiser sees of the request beside its prompt, alike in both halves; no batch axis."""
        return {}

    def noise_shape(self, request: GenerationRequest) -> tuple[int, ...]:
        """Shape of the noise drawn for a request, without batch axis."""
        raise NotImplementedError

    def forward(self, latents: Tensor, times: Tensor, conditioning: Tensors) -> Tensor:
        """One pass of the denoiser: latents [m, …] in `state_dtype`, times [m] → predictions [m, …]."""
        raise NotImplementedError

    def image_of(self, latent: Tensor, size: tuple[int, int]) -> Tensor:
        """Latent [1, …] → image [1, 3, height, width] in [-1, 1]."""
        raise NotImplementedError

    def modules(self) -> list[torch.nn.Module]:
        """All that holds weights."""
        raise NotImplementedError

    def pack(self, noise: Tensor) -> Tensor:
        """From noise as drawn to the layout of a row's latent."""
        return noise

    def timing(self, steps: int, latent: Tensor) -> dict[str, Any]:
        """What the pipeline class passes to `set_timesteps` besides the number of steps."""
        return {}

    def guides(self, guidance: float) -> bool:
        """Whether this guidance needs an unconditional half."""
        return guidance > 1.0

    def tiling(self, wanted: bool) -> AbstractContextManager[object]:
        """Decode in tiles meanwhile, where the decoder can."""
        return nullcontext()

    def compile(self) -> None:
        """Compile the denoiser, where the pipeline class can; called once, before the first request."""

    @classmethod
    def expected_mb(cls, model: Model, dtype: torch.dtype) -> float:
        """What the weights of a model will take in this dtype, read from its files; 0 where they are not here yet."""
        return weights.megabytes(weights.files_below(model.location), dtype)

    @property
    def memory_mb(self) -> float:
        """Bytes of weights and buffers, in MB."""
        parts = [t for module in self.modules() for t in (*module.parameters(), *module.buffers())]
        return sum(t.numel() * t.element_size() for t in parts) / 1e6
