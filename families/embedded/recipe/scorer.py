"""The scorer's stage: contrastive learning (Radford et al. 2021, §2.3) over families of siblings, each disturbed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from families.embedded.clip_scorer import ClipScorer
from families.embedded.recipe import nets
from families.embedded.recipe.run import Run
from families.embedded.recipe.stage import Stage

JITTER = 0.03  # of places and sizes: more than denoisers see
MARGIN = 0.03  # of cosine, by which a spoiled picture should score less


def train(run: Run) -> None:
    """Make, write and keep the scorer. A spoiled picture must score less than the good one."""
    plan = run.plan
    torch.manual_seed(9)
    network = run.on_device(ClipScorer(**plan.scorer))
    quarter = max(2, plan.scorer_batch // 4)

    def loss(scorer: Any) -> Tensor:
        clean, text = siblings(run, plan.scorer_batch, scorer.side)
        pictures = torch.cat([disturb(clean, run.rng), spoil(clean[:quarter], run.rng)])
        seen = scorer.pictures(pictures.to(run.kind, memory_format=torch.channels_last))
        read = scorer.texts(text[0].to(run.kind), text[1])
        good, bad = seen[: len(read)], seen[len(read) :]
        worse = ((bad - good[:quarter]) * read[:quarter]).sum(-1)
        return contrast(scorer.logits(good, read)) + 0.1 * F.softplus(20 * (worse + MARGIN)).mean()

    average = Stage("scorer", network, loss, run.seconds("scorer"), plan.scorer_rate, plan.scorer_batch).train()
    nets.save_half(average, run.weights / "scorer")
    run.scorer = average.to(run.device)  # type: ignore[assignment]


def siblings(run: Run, count: int, side: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Pictures (B, 3, side, side) and texts of scenes, each beside those that differ from it in a single thing."""
    assert run.judged is not None
    family = run.plan.siblings
    first = run.some(count // family, len(run.judged) // family) * family
    rows = (first[:, None] + torch.arange(family, device=run.device)).flatten()
    return run.painter.paint(run.judged.layout[rows], side, run.rng, jitter=JITTER), run.judged.text(rows)


def contrast(logits: Tensor) -> Tensor:
    """The symmetric contrastive loss of a batch's logits (B, B)."""
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def disturb(pictures: Tensor, rng: torch.Generator) -> Tensor:
    """Shift, brightness, contrast, tint and noise, row by row; a mild blur in one row of three."""
    count, side = len(pictures), pictures.shape[-1]

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng, device=pictures.device)

    theta = torch.eye(2, 3, device=pictures.device).repeat(count, 1, 1)
    theta[:, :, 2] = 0.04 * normal(count, 2)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 + 0.03 * normal(count)
    grid = F.affine_grid(theta, [count, 3, side, side], align_corners=False)
    moved = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    moved = torch.where(_some(count, 0.33, rng, pictures.device), soft(moved, 2), moved)
    moved = moved * (1 + 0.12 * normal(count, 1, 1, 1)) + 0.06 * normal(count, 3, 1, 1)
    return moved + 0.05 * torch.rand((count, 1, 1, 1), generator=rng, device=pictures.device) * torch.randn_like(moved)


def spoil(pictures: Tensor, rng: torch.Generator) -> Tensor:
    """What a weak denoiser draws: washed out, or two pictures in one."""
    washed = soft(pictures, 5)
    share = 0.25 + 0.25 * torch.rand((len(pictures), 1, 1, 1), generator=rng, device=pictures.device)
    mixed = pictures * (1 - share) + pictures.roll(1, 0) * share
    return torch.where(_some(len(pictures), 0.5, rng, pictures.device), washed, mixed)


def soft(pictures: Tensor, factor: int) -> Tensor:
    """Blurred by averaging down and up again."""
    side = pictures.shape[-1]
    small = F.interpolate(pictures, side // factor, mode="area")
    return F.interpolate(small, side, mode="bilinear", align_corners=False)


def _some(count: int, chance: float, rng: torch.Generator, device: torch.device) -> Tensor:
    return torch.rand((count, 1, 1, 1), generator=rng, device=device) < chance
