"""Where a sampler stands between noise and picture, and one step from there: shared by P2L and DDFM.

x = signal·x₀ + noise·ε at every level, whatever a model's schedule is called.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor


class Level(NamedTuple):
    """A place in the schedule. `time` is what the denoiser is told of it."""

    time: float
    signal: float
    noise: float


def flow_levels(sigmas: Iterable[float]) -> list[Level]:
    """Of flow matching: x = (1 − σ)·x₀ + σ·ε (Lipman et al. 2023)."""
    return [Level(sigma, 1 - sigma, sigma) for sigma in sigmas]


def step(
    latents: Tensor, clean: Tensor, here: Level, there: Level, eta: float, generator: torch.Generator | None = None
) -> Tensor:
    """From one level to a less noisy one, towards `clean` (DDIM, Song et al. 2021, arXiv:2010.02502, eq. 12 and 16).

    `eta` is 0 for the deterministic step, 1 for DDPM's: then the step is q(x_there | x_here, x₀).
    """
    forward = here.noise**2 - (here.signal / there.signal * there.noise) ** 2  # variance of x_here given x_there
    fresh = eta * there.noise / here.noise * max(forward, 0.0) ** 0.5
    kept = max(there.noise**2 - fresh**2, 0.0) ** 0.5
    stepped = there.signal * clean + kept * (latents - here.signal * clean) / here.noise
    if fresh == 0:
        return stepped
    return stepped + fresh * latents.new_empty(latents.shape).normal_(generator=generator)
