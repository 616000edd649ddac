"""The scorer of the embedded family: trained with it, on other data orders and other augmentations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from core.text import shared_encoder
from families.embedded.checksums import digest
from families.embedded.clip_scorer import load_scorer, prepare
from workers.scoring.base import clip_score

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"


class EmbeddedClip:
    """The small CLIP in `families/embedded/weights/scorer`."""

    def __init__(self, folder: str, device: str = "cpu") -> None:
        self.name = f"embedded-clip:{digest(Path(folder) / WEIGHTS_FILE)[:8]}"
        self._device = device
        self._clip = load_scorer(Path(folder)).to(device)
        self._text = shared_encoder(device)

    @torch.inference_mode()
    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> list[float]:
        """CLIPScore of each image (any size) against its prompt."""
        if not images:
            return []
        return clip_score(self._seen(images), self._clip.texts(*self._text.tokens(prompts)))

    @torch.inference_mode()
    def likeness(self, images: Sequence[Image], others: Sequence[Image]) -> list[float]:
        """Cosine of what it sees of each image and of the other one, any sizes."""
        cosines: list[float] = (self._seen(images) * self._seen(others)).sum(1).tolist()
        return cosines

    def _seen(self, images: Sequence[Image]) -> Tensor:
        """Unit vectors (B, space)."""
        pictures = torch.stack([prepare(image, self._clip.side) for image in images]).to(self._device)
        vectors: Tensor = self._clip.pictures(pictures)
        return vectors
