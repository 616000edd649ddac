"""PixArt-α (Chen et al. 2023) and PixArt-Σ (Chen et al. 2024): a transformer with cross-attention to T5's states."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import PixArtAlphaPipeline, PixArtSigmaPipeline
from torch import Tensor

from workers.engine.request import GenerationRequest
from workers.pipelines.hub import LatentDiffusion
from workers.pipelines.rows import Tensors


class PixArtAlpha(LatentDiffusion):
    pipeline: Any = PixArtAlphaPipeline
    denoiser = "transformer"

    def encode_prompt(self, prompt: str) -> Tensors:
        states, mask, _, _ = self.pipe.encode_prompt(
            prompt,
            do_classifier_free_guidance=False,
            device=self.device,
            max_sequence_length=self.prompt_tokens,
        )
        return {"states": states[0], "mask": mask[0].to(self.dtype)}

    def inputs_of(self, request: GenerationRequest, guidance: float) -> Tensors:
        """The size in pixels, to α's models of 1024 pixels (the micro-conditions of its §2.3)."""
        if not self.net.use_additional_conditions:
            return {}
        height, width = request.height, request.width
        given = {"resolution": [float(height), float(width)], "aspect_ratio": [height / width]}
        return {name: torch.tensor(value, dtype=self.dtype, device=self.device) for name, value in given.items()}

    def forward(self, latents: Tensor, times: Tensor, conditioning: Tensors) -> Tensor:
        prediction: Tensor = self.net(
            latents.to(self.dtype),
            encoder_hidden_states=conditioning["states"],
            encoder_attention_mask=conditioning["mask"],
            timestep=times,
            added_cond_kwargs={name: conditioning.get(name) for name in ("resolution", "aspect_ratio")},
            return_dict=False,
        )[0]
        channels = self.net.config.in_channels
        return prediction[:, :channels]  # what follows is the variance, which no sampler here asks for


class PixArtSigma(PixArtAlpha):
    pipeline = PixArtSigmaPipeline
