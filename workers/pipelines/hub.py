"""Loading diffusers pipelines by hub name or local path, and what all latent-diffusion adapters do alike."""

from __future__ import annotations

import logging
from typing import Any

import torch
from diffusers.utils import logging as diffusers_log
from torch import Tensor
from transformers.utils import logging as transformers_log

from core.errors import WeightsDamaged
from core.families import Model
from workers.pipelines.base import HALF, Adapter

log = logging.getLogger(__name__)


def from_hub(kind: Any, model: Model, device: str, dtype: torch.dtype, **components: Any) -> Any:
    """The real pipeline class, by `from_pretrained`; components given as None are left out.

    A path `random:sdxl` builds that architecture with random weights on the device instead (`random_weights.py`).

    Raises:
        WeightsDamaged: nothing there, or not loadable; the message names the model and says what to do.
    """
    if model.path.startswith("random:"):
        from workers.pipelines.random_weights import build

        return build(model.path.removeprefix("random:"), device=device, dtype=dtype)
    diffusers_log.disable_progress_bar()
    transformers_log.disable_progress_bar()
    try:
        return kind.from_pretrained(
            model.location, dtype=dtype, variant=model.variant, revision=model.revision, **components
        )
    except (OSError, ValueError, KeyError) as error:
        raise WeightsDamaged(
            f"Model {model.id!r} could not be loaded from {model.path!r}: {error}. "
            f"Give a local folder or a Hugging Face name in the family file, and download it once."
        ) from error


class LatentDiffusion(Adapter):
    """A diffusers pipeline with a KL autoencoder: noise and image shapes, and decoding."""

    pipeline: Any  # the diffusers class
    denoiser: str  # attribute that holds the denoiser
    without: tuple[str, ...] = ()  # components not loaded

    def load(self) -> Any:
        self.pipe = from_hub(self.pipeline, self.model, str(self.device), self.dtype, **dict.fromkeys(self.without))
        self.pipe.to(self.device)
        self.net = getattr(self.pipe, self.denoiser)
        if self.dtype in HALF and self.pipe.vae.config.get("force_upcast"):
            self.pipe.vae.to(torch.float32)  # overflows in half precision
        for module in self.modules():
            module.eval().requires_grad_(False)
        return self.pipe.scheduler

    def modules(self) -> list[torch.nn.Module]:
        return [part for part in self.pipe.components.values() if isinstance(part, torch.nn.Module)]

    def compile(self) -> None:
        """Compile the repeated blocks of the denoiser (CUDA)."""
        self.net.compile_repeated_blocks(fullgraph=True)

    def noise_shape(self, request: Any) -> tuple[int, ...]:
        scale = self.pipe.vae_scale_factor
        return (self.net.config.in_channels, request.height // scale, request.width // scale)

    def image_of(self, latent: Tensor, size: tuple[int, int]) -> Tensor:
        vae = self.pipe.vae
        return vae.decode(self.unscaled(latent).to(vae.dtype), return_dict=False)[0]

    def unscaled(self, latent: Tensor) -> Tensor:
        """From the denoiser's scale to the autoencoder's."""
        config = self.pipe.vae.config
        if config.get("latents_mean") and config.get("latents_std"):
            mean, std = (
                torch.tensor(config[name], device=latent.device, dtype=latent.dtype).view(1, -1, 1, 1)
                for name in ("latents_mean", "latents_std")
            )
            return latent * std / config.scaling_factor + mean
        return latent / config.scaling_factor + (config.get("shift_factor") or 0.0)


class UNetDiffusion(LatentDiffusion):
    """A latent-diffusion pipeline around a UNet; UNets are faster with channels last."""

    denoiser = "unet"

    def load(self) -> Any:
        scheduler = super().load()
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return scheduler

    @property
    def distilled(self) -> bool:
        """Guidance is an input of the network (LCM), not a second half."""
        return self.net.config.time_cond_proj_dim is not None

    def guides(self, guidance: float) -> bool:
        return guidance > 1.0 and not self.distilled

    def guidance_input(self, guidance: float) -> dict[str, Tensor]:
        """The network's guidance input where it has one."""
        if not self.distilled:
            return {}
        width = self.net.config.time_cond_proj_dim
        embedded = self.pipe.get_guidance_scale_embedding(torch.tensor([guidance - 1.0]), embedding_dim=width)
        return {"guidance": embedded[0].to(self.device, self.dtype)}
