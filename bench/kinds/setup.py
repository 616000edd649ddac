"""What every part of the bench needs: scenes, the prior, the scorer; and how figures are collected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click
import torch
from torch import Tensor
from torch.nn import functional

from core.families import load_family
from core.settings import ROOT
from families.embedded.clip_scorer import ClipScorer, load_scorer
from families.embedded.model import EMPTY_PROMPT, EmbeddedMember, load_member
from families.embedded.recipe import names, scenes
from families.embedded.recipe.painter import Layout, Painter
from workers.kinds.p2l import Prior

SIDE, TOGETHER = 128, 8
STEPS = 12


@dataclass(frozen=True)
class Bench:
    """What every measurement needs, loaded once."""

    member: EmbeddedMember
    scorer: ClipScorer
    painter: Painter

    @classmethod
    def load(cls) -> Bench:
        family = load_family("embedded")
        if not (names.DATA / "sprites.zip").exists():
            raise click.ClickException("No pictures to paint scenes of: python -m families.embedded.recipe.fetch")
        member = load_member(family.models["large"].location)
        return cls(member, load_scorer(ROOT / family.scorer.location), Painter("cpu"))

    def prior(self) -> Prior:
        """`large`, its text an embedding that may be tuned; only the tokens of an empty prompt are read."""
        _, mask = self.member.text.tokens([EMPTY_PROMPT])
        codec = self.member.codec

        def clean(latents: Tensor, sigma: float, text: Tensor) -> Tensor:
            return self.member.clean(latents, sigma, text, mask.expand(len(latents), -1))

        return Prior(clean, codec.encode, codec.draw)

    def text(self, count: int) -> Tensor:
        """Token states (B, 24, 384) of empty prompts."""
        return self.member.text.tokens([EMPTY_PROMPT])[0].expand(count, -1, -1)

    def paint(self, some: list[scenes.Scene], seed: int, things: bool = True) -> Tensor:
        """Pictures (B, 3, SIDE, SIDE); without things, their grounds alone."""
        layout = scenes.layout(some)
        if not things:
            layout.names[:], layout.standing[:] = -1, False
        return self.painter.paint(Layout.of(layout, "cpu"), SIDE, torch.Generator().manual_seed(seed))

    @torch.no_grad()
    def seen(self, pictures: Tensor) -> Tensor:
        """The scorer's unit vectors (B, space)."""
        side = (self.scorer.side, self.scorer.side)
        return self.scorer.pictures(functional.interpolate(pictures.clamp(-1, 1), side, mode="area"))


def add(found: dict[str, Any], name: str, spent: Mapping[str, float], figures: Mapping[str, Tensor]) -> None:
    """Figures (B,) of some more pictures; what is spent is that of the last ones."""
    kept = found.setdefault(name, {figure: [] for figure in figures})
    kept.update(spent)
    for figure, values in figures.items():
        kept[figure].extend(round(float(value), 5) for value in values)
