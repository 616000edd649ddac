"""Stable Diffusion 1.x and 2.x, and the smaller models of the same class (Small-SD, Tiny-SD, SD-Turbo, LCM)."""

from __future__ import annotations

from diffusers import StableDiffusionPipeline
from torch import Tensor

from workers.engine.request import GenerationRequest
from workers.pipelines.hub import UNetDiffusion
from workers.pipelines.rows import Tensors


class StableDiffusion(UNetDiffusion):
    pipeline = StableDiffusionPipeline
    without = ("safety_checker", "feature_extractor", "image_encoder")

    def encode(self, request: GenerationRequest, guidance: float) -> tuple[Tensors, Tensors | None]:
        guided = self.guides(guidance)
        states, negative = self.pipe.encode_prompt(
            request.prompt, self.device, 1, guided, negative_prompt=request.negative_prompt or None
        )
        extra = self.guidance_input(guidance)
        return {"states": states[0], **extra}, {"states": negative[0], **extra} if guided else None

    def forward(self, latents: Tensor, times: Tensor, conditioning: Tensors) -> Tensor:
        return self.net(
            latents,
            times,
            encoder_hidden_states=conditioning["states"],
            timestep_cond=conditioning.get("guidance"),
            return_dict=False,
        )[0]
