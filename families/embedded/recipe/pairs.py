"""Pairs for the bridge: scenes and their sources, painted and encoded once, with the token states of their prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from families.embedded.bridge import SOURCES
from families.embedded.codec import ConvCodec
from families.embedded.recipe import scenes
from families.embedded.recipe.data import parts
from families.embedded.recipe.painter import Layout, Painter
from families.embedded.recipe.text import Encoder
from families.embedded.sample import Text

PAINTED = 64  # scenes painted at once
NAMES = ("source", "clean", "states", "mask")


@dataclass(frozen=True)
class Pairs:
    """Latents of sources and scenes (N, C, h, w), token states (N, 24, 384), all float16; mask (N, 24)."""

    source: Tensor
    clean: Tensor
    states: Tensor
    mask: Tensor

    def __len__(self) -> int:
        return len(self.mask)

    def text(self, rows: Tensor | slice) -> Text:
        """Token states and mask of some prompts."""
        return self.states[rows].float(), self.mask[rows]

    def save(self, path: Path) -> None:
        """Write them; `load` reads them."""
        save_file({name: getattr(self, name) for name in NAMES}, path)

    @classmethod
    def load(cls, path: Path) -> Pairs:
        return cls(**load_file(path))


class Studio:
    """What pairs are made with, on the CPU."""

    def __init__(self, codec: ConvCodec) -> None:
        self.codec = codec

    @cached_property
    def painter(self) -> Painter:
        return Painter("cpu")

    @cached_property
    def encoder(self) -> Encoder:
        return Encoder("cpu")

    def training(self, kind: str, count: int, side: int, seed: int) -> Pairs:
        """Of scenes to train on, `side` pixels wide; `kind` is of `SOURCES`."""
        prompts, layout = scenes.training_scenes(count, seed)
        return self._pairs(kind, prompts, layout, side, seed)

    def held_out(self, kind: str, count: int, side: int, seed: int) -> Pairs:
        """Of compositions that are never trained on."""
        some = scenes.held_out_scenes(count, seed)
        return self._pairs(kind, [scene.prompt for scene in some], scenes.layout(some), side, seed)

    @torch.no_grad()
    def _pairs(self, kind: str, prompts: Sequence[str], layout: scenes.Layout, side: int, seed: int) -> Pairs:
        placed, rng, encoded = Layout.of(layout, "cpu"), torch.Generator().manual_seed(seed), []
        for part in parts(len(prompts), PAINTED):
            pictures = self.painter.paint(placed[part], side, rng)
            encoded.append(
                [self.codec.encode(seen).half().contiguous() for seen in (SOURCES[kind](pictures), pictures)]
            )
        source, clean = (torch.cat(latents) for latents in zip(*encoded, strict=True))
        return Pairs(source, clean, *self.encoder.tokens(prompts))
