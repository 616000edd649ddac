"""The scorer: a small CLIP (Radford et al. 2021) whose text side is a projection of frozen MiniLM token states."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from PIL.Image import Image, Resampling
from torch import Tensor, nn
from torch.nn import functional as F

from core.text import WIDTH
from families.embedded.checksums import verify


class ClipScorer(ModelMixin, ConfigMixin):
    """Image tower (a residual network over pictures of `side`) and text tower (attention over token states)."""

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, width: int = 48, side: int = 96, space: int = 192) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.side = side
        widths = (width, 2 * width, 4 * width, 4 * width)
        self.stem = nn.Conv2d(3, width, 4, stride=2, padding=1)
        self.stages = nn.ModuleList(
            _Stage(before, after) for before, after in zip((width, *widths), widths, strict=False)
        )
        last = side // 2 // 2 ** len(self.stages)
        self.from_picture = nn.Linear(widths[-1] * last * last, space)
        self.into_text = nn.Linear(WIDTH, 2 * space)
        self.over_text = nn.TransformerEncoderLayer(
            2 * space, 4, 4 * space, dropout=0.0, batch_first=True, norm_first=True
        )
        self.from_text = nn.Linear(2 * space, space)
        self.temperature = nn.Parameter(torch.tensor(2.0))  # logarithm of the inverse

    def pictures(self, pictures: Tensor) -> Tensor:
        """Unit vectors (B, space) of pictures (B, 3, side, side) in −1…1."""
        hidden = self.stem(pictures)
        for stage in self.stages:
            hidden = stage(hidden)
        return F.normalize(self.from_picture(hidden.flatten(1)).float(), dim=-1)

    def texts(self, states: Tensor, mask: Tensor) -> Tensor:
        """Unit vectors (B, space) of token states (B, T, 384) and their mask (B, T)."""
        hidden = self.over_text(self.into_text(states), src_key_padding_mask=mask == 0)
        mask = mask.to(hidden.dtype)
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return F.normalize(self.from_text(mean).float(), dim=-1)

    def logits(self, pictures: Tensor, texts: Tensor) -> Tensor:
        """Similarities (P, T) of unit vectors over the learned temperature."""
        return pictures @ texts.T * self.temperature.float().exp().clamp(max=100)


class _Stage(nn.Module):
    """A residual block, then half the resolution."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, before)
        self.first = nn.Conv2d(before, after, 3, padding=1)
        self.second = nn.Conv2d(after, after, 3, padding=1)
        self.skip = nn.Conv2d(before, after, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        inner = self.second(F.silu(self.first(F.silu(self.norm(hidden)))))
        return F.avg_pool2d(self.skip(hidden) + inner, 2)


def prepare(image: Image, side: int) -> Tensor:
    """A picture of any size as (3, side, side) in −1…1."""
    pixels = np.array(image.convert("RGB").resize((side, side), Resampling.BOX))
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 127.5 - 1


def load_scorer(folder: Path) -> ClipScorer:
    """The scorer in `folder`, checked against its checksums; raises `core.errors.WeightsDamaged`."""
    verify(folder)
    scorer: ClipScorer = ClipScorer.from_pretrained(folder, torch_dtype=torch.float32)
    scorer.eval().requires_grad_(False)
    return scorer
