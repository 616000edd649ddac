"""Sampling with a clean picture that may be corrected at every step: what the engine's `on_x0` does to one row.

x = signal·x₀ + noise·ε at every level, whatever a model's schedule is called. The engine steps with a family's own
sampler; this loop is for samplers that cannot share its forwards, for benches and for proofs in closed form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

Denoiser = Callable[[Tensor, float], Tensor]  # (x, time) → x̂₀, both (B, …)
Hook = Callable[[int, Tensor], Tensor]  # (step from 1, x̂₀) → the x̂₀ to step towards


class Level(NamedTuple):
    """A place in the schedule. `time` is what the denoiser is told of it."""

    time: float
    signal: float
    noise: float


def flow_levels(sigmas: Iterable[float]) -> list[Level]:
    """Of flow matching: x = (1 − σ)·x₀ + σ·ε (Lipman et al. 2023, arXiv:2210.02747)."""
    return [Level(sigma, 1 - sigma, sigma) for sigma in sigmas]


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    levels: Sequence[Level],
    noise: Tensor,
    on_x0: Hook | None = None,
    eta: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """From noise at the first level to x at the last."""
    x = noise
    for number, (here, there) in enumerate(pairwise(levels), 1):
        clean = denoiser(x, here.time)
        x = step(x, on_x0(number, clean) if on_x0 else clean, here, there, eta, generator)
    return x


def step(
    x: Tensor, clean: Tensor, here: Level, there: Level, eta: float, generator: torch.Generator | None = None
) -> Tensor:
    """From one level to a less noisy one, towards `clean` (DDIM, Song et al. 2021, arXiv:2010.02502, eq. 12 and 16).

    `eta` is 0 for the deterministic step, 1 for DDPM's: then the step is q(x_there | x_here, x₀).
    """
    forward = here.noise**2 - (here.signal / there.signal * there.noise) ** 2  # variance of x_here given x_there
    fresh = eta * there.noise / here.noise * max(forward, 0.0) ** 0.5
    kept = max(there.noise**2 - fresh**2, 0.0) ** 0.5
    stepped: Tensor = there.signal * clean + kept * (x - here.signal * clean) / here.noise
    if fresh:
        device = x.device if generator is None else generator.device  # a request's own draws on the CPU
        drawn = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=device)  # whatever the layout of x
        stepped = stepped + fresh * drawn.to(x.device)
    return stepped
