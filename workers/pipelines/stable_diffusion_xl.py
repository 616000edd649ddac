"""SDXL and its kin of the same class: SDXL-Turbo, Lightning, SSD-1B, Segmind-Vega."""

from __future__ import annotations

from diffusers import StableDiffusionXLPipeline
from torch import Tensor

from workers.engine.request import GenerationRequest
from workers.pipelines.hub import UNetDiffusion
from workers.pipelines.rows import Tensors


class StableDiffusionXL(UNetDiffusion):
    pipeline = StableDiffusionXLPipeline
    without = ("image_encoder", "feature_extractor")

    def encode(self, request: GenerationRequest, guidance: float) -> tuple[Tensors, Tensors | None]:
        guided = self.guides(guidance)
        states, negative, pooled, negative_pooled = self.pipe.encode_prompt(
            request.prompt,
            device=self.device,
            do_classifier_free_guidance=guided,
            negative_prompt=request.negative_prompt or None,
        )
        same = {"sizes": self._sizes(request, int(pooled.shape[-1])), **self.guidance_input(guidance)}
        conditioning = {"states": states[0], "pooled": pooled[0], **same}
        return conditioning, {"states": negative[0], "pooled": negative_pooled[0], **same} if guided else None

    def _sizes(self, request: GenerationRequest, pooled_width: int) -> Tensor:
        """SDXL's micro-conditioning: original size, crop, target size."""
        encoder = self.pipe.text_encoder_2
        width = pooled_width if encoder is None else encoder.config.projection_dim
        size = (request.height, request.width)
        ids = self.pipe._get_add_time_ids(size, (0, 0), size, self.dtype, text_encoder_projection_dim=width)
        return ids[0].to(self.device)

    def forward(self, latents: Tensor, times: Tensor, conditioning: Tensors) -> Tensor:
        return self.net(
            latents,
            times,
            encoder_hidden_states=conditioning["states"],
            timestep_cond=conditioning.get("guidance"),
            added_cond_kwargs={"text_embeds": conditioning["pooled"], "time_ids": conditioning["sizes"]},
            return_dict=False,
        )[0]
