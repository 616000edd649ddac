"""From one picture to another along a bridge: DDBM's sampler (Zhou et al. 2023, arXiv:2309.16948) and DBIM's, which
needs a tenth of the steps (Zheng et al. 2024, arXiv:2405.15885).

Both follow a bridge (`bridges.py`) from its source with the same denoiser, trained on pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from workers.kinds.bridges import Bridge, Denoiser

BEFORE_END = 1e-4  # of the end: how far from x_T, where the bridge is singular, DDBM begins
BOOTED = 1e-3  # of the end: where DBIM's first step leads


def ddbm_times(bridge: Bridge, steps: int, least: float = 1e-4, rho: float = 7.0) -> list[float]:
    """Times from just before T to 0, spaced as Karras et al. (2022, eq. 5) space noise levels."""
    first, last = (bridge.end * (1 - BEFORE_END)) ** (1 / rho), (bridge.end * least) ** (1 / rho)
    return [(first + number / (steps - 1) * (last - first)) ** rho for number in range(steps)] + [0.0]


@torch.no_grad()
def ddbm(
    denoiser: Denoiser,
    bridge: Bridge,
    source: Tensor,
    times: Sequence[float],
    churn: float = 0.33,
    generator: torch.Generator | None = None,
) -> Tensor:
    """x₀ (B, …) by DDBM's hybrid sampler: of each step a share `churn` by Euler on the SDE, then Heun on
    the ODE; up to three denoisings a step. At `churn` 0 it is deterministic and all samples of a source are one."""
    x = source
    for here, there in pairwise(times):
        middle = here + churn * (there - here)
        if churn:
            slope = bridge.direction(x, denoiser(x, here, source), source, here, 1.0)
            deviation = (bridge.diffusion(here) * (here - middle)) ** 0.5
            x = x + (middle - here) * slope + deviation * _normal(x, generator)
        slope = bridge.direction(x, denoiser(x, middle, source), source, middle, 0.5)
        forward = x + (there - middle) * slope
        if there > 0:
            after = bridge.direction(forward, denoiser(forward, there, source), source, there, 0.5)
            forward = x + (there - middle) * (slope + after) / 2
        x = forward
    return x


def dbim_times(bridge: Bridge, steps: int, least: float = 1e-4) -> list[float]:
    """Evenly spaced times from just before T to almost 0."""
    first, last = bridge.end * (1 - BOOTED), bridge.end * least
    return [first + number / steps * (last - first) for number in range(steps + 1)]


@torch.no_grad()
def dbim(
    denoiser: Denoiser,
    bridge: Bridge,
    source: Tensor,
    times: Sequence[float],
    eta: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """x₀ (B, …) by a diffusion bridge implicit model: one denoising a step, and one before the first.

    At `eta` 0 all randomness is in the booting noise; at 1 the process is Markovian, as DDBM's SDE is.
    """
    x = booted(denoiser, bridge, source, times[0], generator)
    for here, there in pairwise(times):
        x = dbim_step(denoiser, bridge, source, x, (here, there), eta if there > times[-1] else 0.0, generator)
    return x


def booted(
    denoiser: Denoiser, bridge: Bridge, source: Tensor, time: float, generator: torch.Generator | None = None
) -> Tensor:
    """x_t (B, …) just before the end, where what follows is not yet singular: DBIM's first denoising."""
    a, b, c = bridge.weights(time)
    return a * source + b * denoiser(source, bridge.end, source) + c * _normal(source, generator)


def dbim_step(
    denoiser: Denoiser,
    bridge: Bridge,
    source: Tensor,
    x: Tensor,
    times: tuple[float, float],
    eta: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """From one time to an earlier one (DBIM, eq. 10)."""
    here, there = times
    clean = denoiser(x, here, source)
    (a, b, c), (to_a, to_b, to_c) = bridge.weights(here), bridge.weights(there)
    noise = (x - a * source - b * clean) / c
    if not eta:
        return to_a * source + to_b * clean + to_c * noise
    fresh = eta * bridge.signal(there) * bridge.ratio(there)
    fresh *= (1 - (bridge.ratio(there) / bridge.ratio(here)) ** 2) ** 0.5
    kept = max(to_c**2 - fresh**2, 0.0) ** 0.5
    stepped: Tensor = to_a * source + to_b * clean + kept * noise + fresh * _normal(x, generator)
    return stepped


def _normal(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Standard normal values like x: those of a seed, whatever its layout and device."""
    device = x.device if generator is None else generator.device
    drawn: Tensor = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=device).to(x.device)
    return drawn
