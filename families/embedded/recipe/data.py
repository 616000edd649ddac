"""Training data on the device: prompts as token states, scenes as layouts, and, for denoisers, latents painted once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat

import torch
from torch import Tensor

from families.embedded.codec import FACTOR, ConvCodec
from families.embedded.recipe import scenes
from families.embedded.recipe.painter import Layout, Painter
from families.embedded.recipe.text import Encoder
from families.embedded.sample import Text

PAINTED = 512  # scenes painted at once
LOT = 10_000  # scenes that one process composes


def compose(
    count: int, seed: int, family: int = 1, alike: scenes.Alike | None = None
) -> tuple[list[str], scenes.Layout]:
    """Prompts and layout of `count` training scenes, composed by all cores. Call it before CUDA is in use: it forks."""
    lots = [min(LOT, count - start) for start in range(0, count, LOT)]
    seeds = [1000 * seed + number for number in range(len(lots))]
    if len(lots) == 1:
        return scenes.training_scenes(count, seeds[0], family, alike)
    with ProcessPoolExecutor(min(len(lots), os.cpu_count() or 1)) as pool:
        return scenes.joined(list(pool.map(scenes.training_scenes, lots, seeds, repeat(family), repeat(alike))))


@dataclass
class Pool:
    """Scenes on the device: what they look like, and what is said of them."""

    layout: Layout
    states: Tensor  # (N, 24, 384) float16
    mask: Tensor  # (N, 24) bool

    def __len__(self) -> int:
        return len(self.mask)

    def text(self, rows: Tensor) -> Text:
        """Token states and masks of some rows."""
        return self.states[rows], self.mask[rows]


def pool_of(prompts: list[str], layout: scenes.Layout, encoder: Encoder, device: str) -> Pool:
    """Composed scenes, encoded and on the device."""
    return Pool(Layout.of(layout, device), *encoder.tokens(prompts))


@dataclass
class Latents:
    """Clean latents (M, C, h, w) of a pool's first M scenes, float16."""

    codes: Tensor

    def __len__(self) -> int:
        return len(self.codes)


def parts(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover `count` rows."""
    for start in range(0, count, size):
        yield slice(start, min(count, start + size))


@torch.no_grad()
def encode_pool(pool: Pool, painter: Painter, codec: ConvCodec, side: int, count: int, rng: torch.Generator) -> Latents:
    """Paint the first `count` scenes at `side` pixels and encode them."""
    kind = next(codec.parameters()).dtype
    cells = side // FACTOR
    codes = torch.empty(count, codec.channels, cells, cells, dtype=torch.float16, device=painter.device)
    for part in parts(count, PAINTED):
        pictures = painter.paint(pool.layout[part], side, rng)
        codes[part] = codec.encode(pictures.to(kind, memory_format=torch.channels_last)).half()
    return Latents(codes)
