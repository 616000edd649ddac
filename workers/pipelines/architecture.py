"""What a pipeline class must say for itself, so that its rows can share forwards."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from core.emphasis import Spans
from core.families import Model
from core.prompt_window import PromptWindow, window_of_model
from workers.engine.request import GenerationRequest
from workers.pipelines import weights
from workers.pipelines.attention import DEFAULT, attention
from workers.pipelines.compiling import compile_blocks, repeated_blocks, sharing_weights
from workers.pipelines.fastest_forward import FastestForward
from workers.pipelines.rows import Tensors

if TYPE_CHECKING:
    from workers.pipelines.lora_layers import Strengths


class Architecture:
    """One pipeline class: weights, prompts, denoiser, decoder. An adapter (`base.py`) is one of these."""

    model: Model
    device: torch.device
    dtype: torch.dtype  # of weights and activations
    scheduler: Any  # the sampler as diffusers has it
    net: Any = None  # the denoiser, of those that come as a diffusers pipeline
    attention: str = DEFAULT  # back-end preferred in the denoiser
    fastest: FastestForward | None = None  # how its forward runs, where that was measured
    strengths: Strengths | None = None  # of the LoRAs in it, where it has some
    compiles: bool = False  # also what is not measured, the steps of `fc` levels

    def load(self) -> Any:
        """Load weights to the device and answer the checkpoint's scheduler."""
        raise NotImplementedError

    def encode_prompt(self, prompt: str) -> Tensors:
        """What the denoiser sees of a prompt; no batch axis."""
        raise NotImplementedError

    def encode_weighted(self, prompt: str, spans: Spans) -> Tensors:
        """The same where some of its words have weights, of the classes in `core.emphasis.PIPELINES`."""
        raise NotImplementedError

    def encode_negative(self, prompt: str) -> Tensors:
        """The same of a negative prompt, where the pipeline class treats it differently."""
        return self.encode_prompt(prompt)

    def prompt_window(self) -> PromptWindow | None:
        """How much of a prompt the denoiser sees; none where that is not known."""
        return window_of_model(self.model)

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

    def latent_of(self, pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Image [1, 3, height, width] in [-1, 1] → latent [C, h, w] as noise is drawn, in the denoiser's scale.

        An encoder that answers a distribution is asked for its mode; with a `generator` one is drawn from it.
        """
        raise NotImplementedError

    def drawn_size(self, request: GenerationRequest) -> tuple[int, int]:
        """Width and height of the picture that a latent of this request shows."""
        return request.width, request.height

    def steps_skipped(self, steps: int, strength: float) -> int:
        """Steps of the schedule before the one at which an image is taken up, by the pipeline class."""
        return steps - min(int(steps * strength), steps)

    def modules(self) -> list[torch.nn.Module]:
        """All that holds weights."""
        raise NotImplementedError

    def pack(self, noise: Tensor) -> Tensor:
        """From noise as drawn to the layout of a row's latent."""
        return noise

    def unpack(self, latent: Tensor, shape: tuple[int, ...]) -> Tensor:
        """From the layout of a row's latent to noise of this shape as drawn, [C, h, w]."""
        return latent

    def timing(self, steps: int, latent: Tensor) -> dict[str, Any]:
        """What the pipeline class passes to `set_timesteps` besides the number of steps."""
        return {}

    def guides(self, guidance: float) -> bool:
        """Whether this guidance needs an unconditional half."""
        return guidance > 1.0

    def tiling(self, wanted: bool) -> AbstractContextManager[object]:
        """Decode in tiles meanwhile, where the decoder can."""
        return nullcontext()

    def attended(self, latents: Tensor, times: Tensor, conditioning: Tensors) -> Tensor:
        """`forward` with the attention back-end that was measured fastest."""
        with attention(self.attention):
            return self.forward(latents, times, conditioning)

    @property
    def denoiser_net(self) -> torch.nn.Module:
        """The denoiser itself."""
        net: torch.nn.Module = self.net
        return net

    def with_net(self, net: torch.nn.Module) -> Self:
        """The same with another denoiser, whose forwards run as they are."""
        twin = copy.copy(self)
        twin.net, twin.fastest = net, None
        return twin

    def compiled(self) -> Self | None:
        """The same with a denoiser whose repeated blocks are compiled, the weights shared; None where it has none."""
        if self.net is None or not repeated_blocks(self.net):
            return None
        twin = self.with_net(sharing_weights(self.net))
        compile_blocks(twin.net)
        return twin

    @classmethod
    def expected_mb(cls, model: Model, dtype: torch.dtype) -> float:
        """What the weights of a model will take in this dtype, read from its files."""
        return weights.megabytes(weights.files_below(model.location), dtype)

    @property
    def memory_mb(self) -> float:
        """Weights, buffers, and what recorded forwards keep, in MB."""
        parts = [t for module in self.modules() for t in (*module.parameters(), *module.buffers())]
        recorded = self.fastest.memory_mb if self.fastest else 0.0
        return sum(weights.bytes_of(tensor) for tensor in parts) / 1e6 + recorded
