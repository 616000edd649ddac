"""Gaussian data, of which everything is known: denoisers in closed form, and how far samples may be off."""

import torch
from torch import Tensor

DEVIATIONS = 4.5  # of a Monte-Carlo error: a fair sample passes it in one of some 100,000 entries


def spread(size: int, seed: int) -> Tensor:
    """A covariance (size, size) with eigenvalues in 0.3 … 1.5, float64."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64)).Q
    return directions @ torch.diag(torch.linspace(0.3, 1.5, size, dtype=torch.float64)) @ directions.T


def posterior_mean(mean: Tensor, covariance: Tensor, seen: Tensor, signal: float, noise: float) -> Tensor:
    """E[x₀ | signal·x₀ + noise·ε = seen] of rows (B, n), for x₀ ~ N(mean, covariance)."""
    gain = signal * covariance @ torch.linalg.inv(signal**2 * covariance + noise**2 * torch.eye(len(covariance)))
    return mean + (seen - signal * mean) @ gain.T


def assert_drawn_from(samples: Tensor, mean: Tensor, covariance: Tensor, bias: float = 0.0) -> None:
    """Mean and covariance of samples (N, n) are within DEVIATIONS Monte-Carlo errors of these, and `bias` beside.

    Errors: √(C_ii/N) of a mean, √((C_ii·C_jj + C_ij²)/N) of a covariance of Gaussian samples.
    """
    count, variances = len(samples), covariance.diagonal().clamp(min=0)
    of_mean = (variances / count).sqrt()
    of_covariance = ((variances[:, None] * variances + covariance**2) / count).sqrt()
    off = (samples.mean(0) - mean).abs()
    assert (off <= DEVIATIONS * of_mean + bias).all(), (off / of_mean).max()
    off = (samples.T.cov() - covariance).abs()
    assert (off <= DEVIATIONS * of_covariance + bias).all(), (off / of_covariance).max()
