"""From one picture to another: denoising diffusion bridges (Zhou et al. 2023, arXiv:2309.16948), sampled as published
or by DBIM in a tenth of the steps (Zheng et al. 2024, arXiv:2405.15885).

A bridge starts at the source x_T and ends at a picture x₀ that belongs to it. Between them

    q(x_t | x_0, x_T) = N(a·x_T + b·x_0, c²)                 (in DBIM's notation)

which a denoiser D(x_t, t, x_T) ≈ E[x_0 | x_t, x_T], trained on pairs, is all that is needed to follow backwards. The
same weights serve both samplers.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

Denoiser = Callable[[Tensor, float, Tensor], Tensor]  # (x_t, t, x_T) → x̂₀, all (B, …)
BEFORE_END = 1e-4  # of the end: how far from x_T, where the bridge is singular, DDBM begins
BOOTED = 1e-3  # of the end: where DBIM's first step leads


class Bridge(ABC):
    """The diffusion dx = f·x·dt + g·dw of which the bridge is the h-transform; `end` is T."""

    end: float

    @abstractmethod
    def signal(self, time: float) -> float:
        """α_t, what is left of x_0 without the end being fixed."""

    @abstractmethod
    def ratio(self, time: float) -> float:
        """ρ_t = σ_t/α_t, noise over signal."""

    @abstractmethod
    def drift(self, time: float) -> float:
        """f(t)."""

    @abstractmethod
    def diffusion(self, time: float) -> float:
        """g(t)²."""

    def weights(self, time: float) -> tuple[float, float, float]:
        """(a, b, c) of q(x_t | x_0, x_T)."""
        signal, ratio, end = self.signal(time), self.ratio(time), self.ratio(self.end)
        left = max(end**2 - ratio**2, 0.0)  # ρ̄²
        return (
            signal / self.signal(self.end) * (ratio / end) ** 2,
            signal * left / end**2,
            signal * left**0.5 * ratio / end,
        )

    def direction(self, x: Tensor, clean: Tensor, source: Tensor, time: float, score: float) -> Tensor:
        """The drift backwards, f·x − g²·(score·s − h): `score` ½ for the ODE, 1 for the SDE.

        s = ∇log q(x_t | x_T), of which `clean` is the denoiser's answer; h = ∇log p(x_T | x_t), Doob's transform.
        """
        a, b, c = self.weights(time)
        signal, left = self.signal(time), self.ratio(self.end) ** 2 - self.ratio(time) ** 2
        toward_clean = (a * source + b * clean - x) / c**2
        toward_source = (signal / self.signal(self.end) * source - x) / (signal**2 * left)
        return self.drift(time) * x - self.diffusion(time) * (score * toward_clean - toward_source)


@dataclass(frozen=True)
class VarianceExploding(Bridge):
    """σ_t = t, no drift (DDBM's VE)."""

    end: float = 80.0

    def signal(self, time: float) -> float:
        return 1.0

    def ratio(self, time: float) -> float:
        return time

    def drift(self, time: float) -> float:
        return 0.0

    def diffusion(self, time: float) -> float:
        return 2 * time


@dataclass(frozen=True)
class VariancePreserving(Bridge):
    """β(t) = `least` + `growth`·t (DDBM's VP)."""

    least: float = 0.1
    growth: float = 2.0
    end: float = 1.0

    def signal(self, time: float) -> float:
        return math.exp(-0.5 * self.least * time - 0.25 * self.growth * time**2)

    def ratio(self, time: float) -> float:
        return math.sqrt(math.expm1(self.least * time + 0.5 * self.growth * time**2))

    def drift(self, time: float) -> float:
        return -0.5 * self.diffusion(time)

    def diffusion(self, time: float) -> float:
        return self.least + self.growth * time


@dataclass(frozen=True)
class Preconditioned:
    """A denoiser from a network whose inputs and targets have unit variance, scaled as DDBM does.

    Args:
        network: of (scaled x_t, t, x_T).
        clean, source: deviations of x_0 and x_T over all their values; `covariance` of both.
    """

    network: Callable[[Tensor, float, Tensor], Tensor]
    bridge: Bridge
    clean: float = 1.0
    source: float = 1.0
    covariance: float = 0.0

    def scalings(self, time: float) -> tuple[float, float, float]:
        """(skip, out, in): x̂₀ = skip·x_t + out·network(in·x_t), where skip·x_t is the best linear guess without it."""
        a, b, c = self.bridge.weights(time)
        variance = (a * self.source) ** 2 + (b * self.clean) ** 2 + 2 * a * b * self.covariance + c**2
        skip = (b * self.clean**2 + a * self.covariance) / variance
        left = a**2 * ((self.source * self.clean) ** 2 - self.covariance**2) + (self.clean * c) ** 2
        return skip, math.sqrt(left / variance), 1 / math.sqrt(variance)

    def __call__(self, x: Tensor, time: float, source: Tensor) -> Tensor:
        skip, out, into = self.scalings(time)
        return skip * x + out * self.network(into * x, time, source)


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
    a, b, c = bridge.weights(times[0])
    x = a * source + b * denoiser(source, bridge.end, source) + c * _normal(source, generator)
    for here, there in pairwise(times):
        clean = denoiser(x, here, source)
        (a, b, c), (to_a, to_b, to_c) = bridge.weights(here), bridge.weights(there)
        fresh = eta * bridge.signal(there) * bridge.ratio(there)
        fresh *= (1 - (bridge.ratio(there) / bridge.ratio(here)) ** 2) ** 0.5
        noise = (x - a * source - b * clean) / c
        x = to_a * source + to_b * clean + max(to_c**2 - fresh**2, 0.0) ** 0.5 * noise
        if eta and there > times[-1]:
            x = x + fresh * _normal(x, generator)
    return x


def _normal(x: Tensor, generator: torch.Generator | None) -> Tensor:
    return x.new_empty(x.shape).normal_(generator=generator)
