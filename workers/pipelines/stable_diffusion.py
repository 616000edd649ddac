"""Stable Diffusion 1.x and 2.x, and the smaller models of the same class (Small-SD, Tiny-SD, SD-Turbo, LCM)."""

from __future__ import annotations

from diffusers import StableDiffusionPipeline
from torch import Tensor

from core.emphasis import Spans, fragments
from workers.engine.request import GenerationRequest
from workers.pipelines.hub import UNetDiffusion
from workers.pipelines.prompt_weights import weighted_states
from workers.pipelines.rows import Tensors


class StableDiffusion(UNetDiffusion):
    pipeline = StableDiffusionPipeline
    without = ("safety_checker", "feature_extractor", "image_encoder")

    def encode_prompt(self, prompt: str) -> Tensors:
        return {"states": self.pipe.encode_prompt(prompt, self.device, 1, False)[0][0]}

    def encode_weighted(self, prompt: str, spans: Spans) -> Tensors:
        encoders = [(self.pipe.tokenizer, self.pipe.text_encoder)]
        return {"states": weighted_states(encoders, fragments(prompt, spans), penultimate=False)}

    def inputs_of(self, request: GenerationRequest, guidance: float) -> Tensors:
        return self.guidance_input(guidance)

    def forward(self, latents: Tensor, times: Tensor, conditioning: Tensors) -> Tensor:
        prediction: Tensor = self.net(
            latents.to(self.dtype),
            times,
            encoder_hidden_states=conditioning["states"],
            timestep_cond=conditioning.get("guidance"),
            return_dict=False,
        )[0]
        return prediction
