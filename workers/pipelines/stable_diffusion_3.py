"""Stable Diffusion 3 and 3.5."""

from __future__ import annotations

from typing import Any

from diffusers import StableDiffusion3Pipeline
from diffusers.pipelines.stable_diffusion_3.pipeline_stable_diffusion_3 import calculate_shift
from torch import Tensor

from workers.pipelines.hub import LatentDiffusion
from workers.pipelines.rows import Tensors


class StableDiffusion3(LatentDiffusion):
    pipeline = StableDiffusion3Pipeline
    denoiser = "transformer"
    without = ("image_encoder", "feature_extractor")

    def encode_prompt(self, prompt: str) -> Tensors:
        states, _, pooled, _ = self.pipe.encode_prompt(
            prompt,
            None,
            None,
            device=self.device,
            do_classifier_free_guidance=False,
            max_sequence_length=self.prompt_tokens,
        )
        return {"states": states[0], "pooled": pooled[0]}

    def steps_skipped(self, steps: int, strength: float) -> int:
        return int(max(steps - min(steps * strength, steps), 0))

    def timing(self, steps: int, latent: Tensor) -> dict[str, Any]:
        config = self.scheduler.config
        if not config.get("use_dynamic_shifting"):
            return {}
        patch = self.net.config.patch_size
        tokens = (latent.shape[-2] // patch) * (latent.shape[-1] // patch)
        return {"mu": shift(tokens, config, calculate_shift, most=1.16)}

    def forward(self, latents: Tensor, times: Tensor, conditioning: Tensors) -> Tensor:
        prediction: Tensor = self.net(
            hidden_states=latents.to(self.dtype),
            timestep=times,
            encoder_hidden_states=conditioning["states"],
            pooled_projections=conditioning["pooled"],
            return_dict=False,
        )[0]
        return prediction


def shift(tokens: int, config: Any, calculate: Any, most: float) -> float:
    """Resolution-dependent shift of the noise schedule, with the checkpoint's own constants."""
    shift: float = calculate(
        tokens,
        config.get("base_image_seq_len", 256),
        config.get("max_image_seq_len", 4096),
        config.get("base_shift", 0.5),
        config.get("max_shift", most),
    )
    return shift
