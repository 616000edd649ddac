"""CLIP from the Hugging Face hub or a folder, for families of hub models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import normalize

from workers.scoring.base import clip_score

if TYPE_CHECKING:
    from PIL.Image import Image


class HubClip:
    """A transformers `CLIPModel` with its processor, e.g. `openai/clip-vit-base-patch16`."""

    def __init__(self, path: str, device: str = "cpu") -> None:
        from transformers import CLIPModel, CLIPProcessor

        self.name = f"hf-clip:{path.rstrip('/').rsplit('/', 1)[-1]}"
        self._device = device
        self._model: Any = CLIPModel.from_pretrained(path).eval().requires_grad_(False).to(device)
        self._processor: Any = CLIPProcessor.from_pretrained(path)

    @torch.inference_mode()
    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> list[float]:
        """CLIPScore of each image against its prompt; prompts are cut at the model's own length."""
        batch = self._processor(
            text=list(prompts), images=list(images), padding=True, truncation=True, return_tensors="pt"
        ).to(self._device)
        answer = self._model(**batch)
        return clip_score(normalize(answer.image_embeds, dim=-1), normalize(answer.text_embeds, dim=-1))
