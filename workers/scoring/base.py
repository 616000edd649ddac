"""What a scorer is, and CLIPScore itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

WEIGHT = 2.5


class Scorer(Protocol):
    """Scores images. `name` says kind and version, and is stored with every score."""

    name: str

    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> list[float]:
        """CLIPScore of each image against its prompt, in 0…2.5."""
        ...

    def likeness(self, images: Sequence[Image], others: Sequence[Image]) -> list[float]:
        """Cosine of what it sees of each image and of the other one, −1…1."""
        ...


def clip_score(images: Tensor, texts: Tensor) -> list[float]:
    """2.5 · max(cos, 0), row by row, of unit vectors (B, D) and (B, D) (Hessel et al. 2021, eq. 1)."""
    return (WEIGHT * (images * texts).sum(-1).clamp(min=0)).tolist()
