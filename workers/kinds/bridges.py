"""Diffusions between two pictures, and what a denoiser of one is given and asked for (DDBM: Zhou et al. 2023,
arXiv:2309.16948; notation of DBIM: Zheng et al. 2024, arXiv:2405.15885).

A bridge starts at the source x_T and ends at a picture x₀ that belongs to it. Between them

    q(x_t | x_0, x_T) = N(a·x_T + b·x_0, c²).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Denoiser = Callable[[Tensor, float, Tensor], Tensor]  # (x_t, t, x_T) → x̂₀ ≈ E[x_0 | x_t, x_T], all (B, …)


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

    network: Denoiser
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
