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
        if not images:
            return []
        batch = self._processor(
            text=list(prompts), images=list(images), padding=True, truncation=True, return_tensors="pt"
        ).to(self._device)
        answer = self._model(**batch)
        return clip_score(normalize(answer.image_embeds, dim=-1), normalize(answer.text_embeds, dim=-1))

    @torch.inference_mode()
    def likeness(self, images: Sequence[Image], others: Sequence[Image]) -> list[float]:
        """Cosine of what it sees of each image and of the other one, any sizes."""
        batch = self._processor(images=[*images, *others], return_tensors="pt").to(self._device)
        found = self._model.get_image_features(**batch)
        seen = normalize(getattr(found, "pooler_output", found), dim=-1)  # a tensor before transformers 5
        cosines: list[float] = (seen[: len(images)] * seen[len(images) :]).sum(1).tolist()
        return cosines
