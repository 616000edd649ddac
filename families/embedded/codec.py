"""Pixels to latents and back: a convolutional autoencoder, 16 times smaller on each side, for any multiple of 16."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F

FACTOR = 16  # pixels a latent cell, on each side


class ConvCodec(ModelMixin, ConfigMixin):
    """Pictures (B, 3, H, W) in −1…1 to latents (B, channels, H/16, W/16) of about unit variance, and back.

    No norms: residual branches start at zero instead. Thin at high resolution, where a pixel costs most.

    Args:
        pixels: side of the largest native picture.
        channels: of a latent.
        encoder_widths: at 1/4, 1/8 and 1/16 of the side.
        decoder_widths: at 1/16, 1/8, 1/4 and 1/2 of the side.
        decoder_depth: residual blocks at each of them.
        mean, deviation: statistics of the encoder's raw answers, one number a channel.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        pixels: int = 256,
        channels: int = 32,
        encoder_widths: Sequence[int] = (64, 112, 160),
        decoder_widths: Sequence[int] = (192, 128, 72, 32),
        decoder_depth: Sequence[int] = (2, 3, 3, 2),
        mean: Sequence[float] = (),
        deviation: Sequence[float] = (),
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.pixels, self.channels = pixels, channels
        self.encoder = _encoder(channels, encoder_widths)
        self.decoder = nn.Sequential(*_decoder(channels, decoder_widths, decoder_depth))
        for layer in [
            *self.encoder.children(),
            *list(self.decoder.children())[:-2],
        ]:  # between residual blocks nothing shrinks
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=layer.weight[0].numel() ** -0.5)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the latent of a picture of `pixels`."""
        return self.latent_shape_of(self.pixels)

    def latent_shape_of(self, size: int) -> tuple[int, int, int]:
        """(channels, height, width) of the latent of a picture of so many pixels a side."""
        return self.channels, size // FACTOR, size // FACTOR

    @property
    def size(self) -> int:
        """Side of the largest pictures that are native, in pixels."""
        return self.pixels

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in −1…1 to latents, normalised."""
        raw, config = self.encoder(pictures), dict(self.config)
        mean, deviation = (raw.new_tensor(config[name]).view(1, -1, 1, 1) for name in ("mean", "deviation"))
        latents: Tensor = (raw - mean) / deviation
        return latents

    def draw(self, latents: Tensor) -> Tensor:
        """Latents to pictures (B, 3, 16h, 16w), about −1…1, in the codec's precision."""
        drawn: Tensor = self.decoder(latents)
        return drawn

    @torch.inference_mode()
    def decode(self, latents: Tensor, size: int | None = None) -> Tensor:
        """Latents (B, C, h, w) to pictures (B, size, size, 3) in uint8 on the CPU; smaller sizes are averaged down."""
        drawn = self.draw(latents.to(self.dtype)).float().clamp(-1, 1)
        if size is not None and size != drawn.shape[-1]:
            drawn = F.interpolate(drawn, size, mode="area")
        return ((drawn + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu()


class Residual(nn.Module):
    """Two convolutions beside the identity; the second starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        for parameter in self.second.parameters():
            nn.init.zeros_(parameter)

    def forward(self, hidden: Tensor) -> Tensor:
        beside: Tensor = self.second(F.silu(self.first(F.silu(hidden))))
        return hidden + beside


def _encoder(channels: int, widths: Sequence[int]) -> nn.Sequential:
    fine, middle, coarse = widths
    return nn.Sequential(
        nn.PixelUnshuffle(4), nn.Conv2d(48, fine, 3, padding=1), Residual(fine),
        nn.PixelUnshuffle(2), nn.Conv2d(4 * fine, middle, 1), Residual(middle), Residual(middle),
        nn.PixelUnshuffle(2), nn.Conv2d(4 * middle, coarse, 1), Residual(coarse),
        nn.Conv2d(coarse, channels, 3, padding=1),
    )  # fmt: skip


def _decoder(channels: int, widths: Sequence[int], depth: Sequence[int]) -> Iterator[nn.Module]:
    yield nn.Conv2d(channels, widths[0], 3, padding=1)
    for place, width in enumerate(widths):
        yield from (Residual(width) for _ in range(depth[place]))
        last = place + 1 == len(widths)
        after, kernel = (3, 3) if last else (widths[place + 1], 1)
        yield nn.Conv2d(width, 4 * after, kernel, padding=kernel // 2)
        yield nn.PixelShuffle(2)
