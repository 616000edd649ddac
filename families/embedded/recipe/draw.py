"""Drawing with members of a run and scoring what was drawn, in the device's half precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from families.embedded.recipe.run import Run
from families.embedded.sample import Text, sample, shifted_sigmas

WEIGHT = 2.5  # CLIPScore: 2.5 · max(cos, 0) (Hessel et al. 2021, eq. 1)


class Way(NamedTuple):
    """How a level draws; with `half` at the smaller native size, then enlarged."""

    member: str
    steps: int
    guidance: float
    half: bool = False


@torch.no_grad()
def draw(run: Run, way: Way, text: Text, seed: int, side: int | None = None) -> Tensor:
    """Pictures (B, 3, H, W) in −1…1 from the noise of `seed`, of the larger native size unless `side` says otherwise.

    What a level draws at half the size is enlarged as `workers/pipelines/embedded.py` does.
    """
    assert run.codec is not None
    side = side or run.plan.pixels
    noise = noise_of(run, len(text[1]), seed, side // 2 if way.half else side)
    latents = sample(run.members[way.member], noise, shifted_sigmas(way.steps), text, run.empty, way.guidance)
    drawn = run.codec.draw(latents.to(run.kind, memory_format=torch.channels_last)).float().clamp(-1, 1)
    if way.half:
        drawn = F.interpolate(drawn, (side, side), mode="bicubic", antialias=True).clamp(-1, 1)
    return drawn


def noise_of(run: Run, count: int, seed: int, side: int) -> Tensor:
    """Initial latents (count, C, h, w) of pictures of `side` pixels."""
    assert run.codec is not None
    rng = torch.Generator(run.device).manual_seed(seed)
    return torch.randn(count, *run.codec.latent_shape_of(side), generator=rng, device=run.device)


@torch.no_grad()
def seen(run: Run, pictures: Tensor) -> Tensor:
    """The scorer's unit vectors (B, space) of pictures of any size."""
    assert run.scorer is not None
    small = F.interpolate(pictures.float().clamp(-1, 1), (run.scorer.side, run.scorer.side), mode="area")
    return run.scorer.pictures(small)


@torch.no_grad()
def read(run: Run, prompts: Sequence[str]) -> Tensor:
    """The scorer's unit vectors (B, space) of prompts."""
    assert run.scorer is not None
    states, mask = run.encoder.tokens(prompts)
    return run.scorer.texts(states.float(), mask)


def clip_score(pictures: Tensor, texts: Tensor) -> Tensor:
    """CLIPScores (B,) of unit vectors."""
    return WEIGHT * (pictures * texts).sum(-1).clamp(min=0)


def score(run: Run, way: Way, count: int = 500, seed: int = 5, side: int | None = None) -> float:
    """Mean CLIPScore of the first held-out prompts drawn one way."""
    prompts = [scene.prompt for scene in run.held_out[:count]]
    drawn = draw(run, way, run.encoder.tokens(prompts), seed, side)
    return float(clip_score(seen(run, drawn), read(run, prompts)).mean())
