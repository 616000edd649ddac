"""Rows that begin with an image: image-to-image (SDEdit, Meng et al. 2022, arXiv:2108.01073) and inpainting.

Image-to-image noises the image's latent to where the schedule is entered, which is `strength` of it before the end.
Inpainting keeps what its mask leaves out (`kept.py`). Both are what diffusers' pipelines of these names do; the order
of the draws is theirs, too.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from workers.engine.request import GenerationRequest, Source
from workers.pipelines.rows import Start


def begun_with(start: Start, source: Source, adapter: Any) -> Start:
    """Where a request begins that has a source: `strength` of the schedule before its end, one step at least.

    A schedule too short to be entered there is made longer, so that one step of `turbo` with strength ½ is the second
    of two.
    """
    steps = max(start.steps, math.ceil(1 / source.strength))
    return Start(steps, min(adapter.steps_skipped(steps, source.strength), steps - 1))


def pixels_of(image: Image.Image, size: tuple[int, int]) -> Tensor:
    """[1, 3, height, width] in [-1, 1], rounded as diffusers rounds it."""
    fitting = image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)
    array = np.asarray(fitting, dtype=np.float32) / 255.0
    return 2.0 * torch.from_numpy(array).permute(2, 0, 1)[None] - 1.0


def image_from(pixels: Tensor) -> Image.Image:
    """The picture of [1, 3, height, width] in [-1, 1]."""
    array = ((pixels[0].clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return Image.fromarray(array.permute(1, 2, 0).cpu().numpy())


def latent_mask(adapter: Any, request: GenerationRequest, mask: Image.Image) -> Tensor:
    """1 where a latent, laid out as rows have it, is drawn anew; a pixel of the mask counts from half its range on."""
    channels, height, width = adapter.noise_shape(request)
    binary = torch.from_numpy((np.asarray(mask) >= 128).astype(np.float32))[None, None]
    small = functional.interpolate(binary, size=(height, width))
    packed: Tensor = adapter.pack(small.expand(1, channels, height, width))[0]
    return packed
