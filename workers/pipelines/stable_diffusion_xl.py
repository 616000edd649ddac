"""SDXL and its kin of the same class: SDXL-Turbo, Lightning, SSD-1B, Segmind-Vega."""

from __future__ import annotations

import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor

from core.emphasis import Spans, fragments
from workers.engine.request import GenerationRequest
from workers.pipelines.hub import UNetDiffusion
from workers.pipelines.prompt_weights import weighted_states
from workers.pipelines.rows import Tensors


class StableDiffusionXL(UNetDiffusion):
    pipeline = StableDiffusionXLPipeline
    without = ("image_encoder", "feature_extractor")

    def encode_prompt(self, prompt: str) -> Tensors:
        states, _, pooled, _ = self.pipe.encode_prompt(prompt, device=self.device, do_classifier_free_guidance=False)
        return {"states": states[0], "pooled": pooled[0]}

    def encode_weighted(self, prompt: str, spans: Spans) -> Tensors:
        """Weights act on the states of words; the pooled vector is that of the plain prompt."""
        pipe = self.pipe
        encoders = [(pipe.tokenizer, pipe.text_encoder), (pipe.tokenizer_2, pipe.text_encoder_2)]
        states = weighted_states(encoders, fragments(prompt, spans), penultimate=True)
        return {**self.encode_prompt(prompt), "states": states}

    def encode_negative(self, prompt: str) -> Tensors:
        """An empty one is zeros, where the checkpoint was trained so."""
        encoded = self.encode_prompt(prompt)
        if prompt or not self.pipe.config.force_zeros_for_empty_prompt:
            return encoded
        return {name: torch.zeros_like(value) for name, value in encoded.items()}

    def inputs_of(self, request: GenerationRequest, guidance: float) -> Tensors:
        return {"sizes": self._sizes(request), **self.guidance_input(guidance)}

    def _sizes(self, request: GenerationRequest) -> Tensor:
        """SDXL's micro-conditioning: original size, crop, target size."""
        width = self.pipe.text_encoder_2.config.projection_dim
        size = (request.height, request.width)
        ids = self.pipe._get_add_time_ids(size, (0, 0), size, self.dtype, text_encoder_projection_dim=width)
        values: Tensor = ids[0].to(self.device)
        return values

    def forward(self, latents: Tensor, times: Tensor, conditioning: Tensors) -> Tensor:
        prediction: Tensor = self.net(
            latents.to(self.dtype),
            times,
            encoder_hidden_states=conditioning["states"],
            timestep_cond=conditioning.get("guidance"),
            added_cond_kwargs={"text_embeds": conditioning["pooled"], "time_ids": conditioning["sizes"]},
            return_dict=False,
        )[0]
        return prediction
