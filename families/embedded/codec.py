"""Pixels to latents and back. Latents are 32×32 pictures folded into patches, lossless; a small network draws them larger."""

from __future__ import annotations

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F


class PatchCodec(ModelMixin, ConfigMixin):
    """Folds `pixels`×`pixels` pictures into (3·patch², pixels/patch, pixels/patch) latents and draws them `scale`× larger.

    The upsampler looks at the small picture only (residual over bicubic), so it adds edges, never things.
    """

    @register_to_config
    def __init__(self, pixels: int = 32, patch: int = 2, scale: int = 4, width: int = 48, depth: int = 4) -> None:
        super().__init__()
        self.pixels, self.patch, self.scale = pixels, patch, scale
        self.enter = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1))
            for _ in range(depth)
        )
        self.leave = nn.Conv2d(width, 3 * scale * scale, 3, padding=1)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one latent, whatever size is drawn from it."""
        side = self.pixels // self.patch
        return 3 * self.patch**2, side, side

    @property
    def size(self) -> int:
        """Side of the pictures that `decode` draws, in pixels."""
        return self.pixels * self.scale

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in −1…1 to latents; larger pictures are averaged down to `pixels` first."""
        small = pictures if pictures.shape[-1] == self.pixels else F.interpolate(pictures, self.pixels, mode="area")
        return F.pixel_unshuffle(small, self.patch)

    def enlarge(self, small: Tensor) -> Tensor:
        """Pictures (B, 3, p, p) in −1…1 to (B, 3, p·scale, p·scale)."""
        hidden = self.enter(small)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        smooth = F.interpolate(small, scale_factor=self.scale, mode="bicubic", align_corners=False)
        return smooth + F.pixel_shuffle(self.leave(hidden), self.scale)

    @torch.inference_mode()
    def decode(self, latents: Tensor, size: int | None = None) -> Tensor:
        """Latents (B, C, h, w) to pictures (B, size, size, 3) in uint8 on the CPU; smaller sizes are averaged down."""
        small = F.pixel_shuffle(latents.to(self.dtype), self.patch).clamp(-1, 1)
        large = self.enlarge(small).clamp(-1, 1)
        if size is not None and size != self.size:
            large = F.interpolate(large, size, mode="area")
        return ((large + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu()
