"""The family that ships: small denoisers, flow matching, MiniLM states as conditioning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from core.families import Model
from families.embedded.model import load_member, predict_clean, velocity
from workers.engine.request import GenerationRequest
from workers.pipelines import weights
from workers.pipelines.base import Adapter
from workers.pipelines.rows import Tensors


class Embedded(Adapter):
    def load(self) -> Any:
        self.member = load_member(self.model.location, str(self.device))
        if self.dtype != torch.float32:
            self.member.to(dtype=self.dtype)
        if self.model.pipeline == "embedded-dit":
            self.net = self.member.denoiser  # feature caches exchange it
        else:
            self.member.denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.member.codec.to(memory_format=torch.channels_last)  # a third of its time less
        return self.member.new_scheduler()

    def modules(self) -> list[torch.nn.Module]:
        codec: Any = self.member.codec
        return [self.member.denoiser, codec]

    @property
    def denoiser_net(self) -> torch.nn.Module:
        return self.member.denoiser

    @classmethod
    def expected_mb(cls, model: Model, dtype: torch.dtype) -> float:
        folder = Path(model.location)
        files = [*weights.files_below(str(folder)), *weights.files_below(str(folder.parent / "codec"))]
        return weights.megabytes(files, dtype)

    def guides(self, guidance: float) -> bool:
        return guidance > 1.0 and self.member.guided

    def encode_prompt(self, prompt: str) -> Tensors:
        states, mask = self.member.text.tokens([prompt])
        return {"states": states[0].to(self.device, self.dtype), "mask": mask[0].to(self.device, self.dtype)}

    def noise_shape(self, request: GenerationRequest) -> tuple[int, ...]:
        return self.member.codec.latent_shape_of(request.width)

    def forward(self, latents: Tensor, times: Tensor, conditioning: Tensors) -> Tensor:
        sigmas, text = times / 1000, (conditioning["states"], conditioning["mask"])
        denoiser = self.member.denoiser if self.net is None else self.net
        return velocity(latents, predict_clean(denoiser, latents, sigmas, *text), sigmas)

    def latent_of(self, pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.member.codec.encode(pixels.to(self.device, self.dtype))[0]

    def image_of(self, latent: Tensor, size: tuple[int, int]) -> Tensor:
        return self.member.codec.draw(latent.to(self.dtype))

    @torch.inference_mode()
    def decode(self, latent: Tensor, size: tuple[int, int], tiled: bool = False) -> Image.Image:
        return Image.fromarray(self.member.codec.decode(latent[None].to(self.dtype), size=size[0])[0].numpy())


class HalfSize(Embedded):
    """A member that always draws at the smaller native size; the picture is enlarged to the size asked for."""

    def noise_shape(self, request: GenerationRequest) -> tuple[int, ...]:
        return self.member.codec.latent_shape_of(self.member.codec.size // 2)

    def drawn_size(self, request: GenerationRequest) -> tuple[int, int]:
        return (self.member.codec.size // 2,) * 2

    @torch.inference_mode()
    def decode(self, latent: Tensor, size: tuple[int, int], tiled: bool = False) -> Image.Image:
        drawn = Image.fromarray(self.member.codec.decode(latent[None].to(self.dtype))[0].numpy())
        return drawn if drawn.size == size else drawn.resize(size, Image.Resampling.BICUBIC)
