"""FLUX.1: guidance is an input of the network, latents are packed 2×2 into tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers import FluxPipeline
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from torch import Tensor

from workers.engine.request import GenerationRequest
from workers.pipelines.hub import LatentDiffusion
from workers.pipelines.rows import Tensors
from workers.pipelines.stable_diffusion_3 import shift


class Flux(LatentDiffusion):
    pipeline = FluxPipeline
    denoiser = "transformer"
    without = ("image_encoder", "feature_extractor")

    def guides(self, guidance: float) -> bool:
        return False

    def encode_prompt(self, prompt: str) -> Tensors:
        states, pooled, text_ids = self.pipe.encode_prompt(
            prompt, None, device=self.device, max_sequence_length=self.prompt_tokens
        )
        return {"states": states[0], "pooled": pooled[0], "text_ids": text_ids}

    @property
    def prompt_tokens(self) -> int:
        return self.model.prompt_tokens or (512 if self._dev else 256)  # schnell was trained with fewer

    def inputs_of(self, request: GenerationRequest, guidance: float) -> Tensors:
        _, height, width = self.noise_shape(request)
        ids = self.pipe._prepare_latent_image_ids(1, height // 2, width // 2, self.device, self.dtype)
        given = {"guidance": torch.tensor(guidance, dtype=torch.float32, device=self.device)} if self._dev else {}
        return {"image_ids": ids, **given}

    @property
    def _dev(self) -> bool:
        """FLUX.1-dev takes guidance as an input, schnell takes none."""
        distilled: bool = self.net.config.guidance_embeds
        return distilled

    def noise_shape(self, request: GenerationRequest) -> tuple[int, ...]:
        side = self.pipe.vae_scale_factor * 2
        return (self.net.config.in_channels // 4, 2 * (request.height // side), 2 * (request.width // side))

    def pack(self, noise: Tensor) -> Tensor:
        packed: Tensor = self.pipe._pack_latents(noise, *noise.shape)
        return packed

    def unpack(self, latent: Tensor, shape: tuple[int, ...]) -> Tensor:
        _, height, width = shape
        scale = self.pipe.vae_scale_factor
        unpacked: Tensor = self.pipe._unpack_latents(latent[None], height * scale, width * scale, scale)[0]
        return unpacked

    def steps_skipped(self, steps: int, strength: float) -> int:
        return int(max(steps - min(steps * strength, steps), 0))

    def timing(self, steps: int, latent: Tensor) -> dict[str, Any]:
        config = self.scheduler.config
        timing: dict[str, Any] = {} if config.get("use_flow_sigmas") else {"sigmas": np.linspace(1.0, 1 / steps, steps)}
        if config.get("use_dynamic_shifting"):
            timing["mu"] = shift(latent.shape[0], config, calculate_shift, most=1.15)
        return timing

    def forward(self, latents: Tensor, times: Tensor, conditioning: Tensors) -> Tensor:
        prediction: Tensor = self.net(
            hidden_states=latents.to(self.dtype),
            timestep=times / 1000,
            guidance=conditioning.get("guidance"),
            pooled_projections=conditioning["pooled"],
            encoder_hidden_states=conditioning["states"],
            txt_ids=conditioning["text_ids"][0],  # the same for every row of a shape
            img_ids=conditioning["image_ids"][0],
            return_dict=False,
        )[0]
        return prediction

    def image_of(self, latent: Tensor, size: tuple[int, int]) -> Tensor:
        width, height = size
        return super().image_of(self.pipe._unpack_latents(latent, height, width, self.pipe.vae_scale_factor), size)
