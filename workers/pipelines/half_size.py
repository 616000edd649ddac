"""Rows that begin at half the size (subspace diffusion, Jing et al. 2022, arXiv:2205.01490).

A small latent is z = s·Uᵀx of each 2×2 of the whole one, with orthonormal U: of x = α·x₀ + σ·ε it is α·s·Uᵀx₀ + s·σ·ε'
with ε' of unit variance, so the denoiser sees a latent of half the size at another noise level. Plain averages are
U = ½ and s = ½: the noise halves. Where an encoder answers something else to pictures of half the size than averages,
calibration finds the U and s that come nearest, and both means (`core/subspaces.py`).
When the latent grows, what U leaves out comes back: the rest of the request's own noise, at the noise level of that
step, around the mean. Of normally distributed latents that vary in the subspace alone, mean and covariance are then
those of a run at the whole size; a deterministic sampler has even the same latent.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from core.subspaces import SubspaceFile
from workers.pipelines.clean_latent import is_flow
from workers.pipelines.step_table import StepTable, read_table

#: Samplers whose steps are linear, between noise levels that are sigmas.
SMALL = ("EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler")


@dataclass(frozen=True, eq=False)
class Subspace:
    """U as a kernel [C, C, 2, 2], the means of latents [C, 2, 2] and of small ones [C, 1, 1], and s."""

    kernel: Tensor
    mean: Tensor
    small_mean: Tensor
    scale: float

    @classmethod
    def averages(cls, channels: int) -> Subspace:
        """Plain averages of C channels."""
        kernel = torch.eye(channels)[..., None, None].expand(channels, channels, 2, 2) / 2
        return cls(kernel, torch.zeros(channels, 2, 2), torch.zeros(channels, 1, 1), 0.5)

    @classmethod
    def of(cls, found: SubspaceFile) -> Subspace:
        """As calibration found it."""
        channels = len(found.small_mean)
        kernel = torch.tensor(found.basis).T.reshape(channels, channels, 2, 2)
        mean, small_mean = torch.tensor(found.mean), torch.tensor(found.small_mean)
        return cls(kernel, mean.view(channels, 2, 2), small_mean.view(channels, 1, 1), found.scale)

    def inside(self, latent: Tensor) -> Tensor:
        """Uᵀx, [C, h, w] → [C, h/2, w/2]."""
        return functional.conv2d(latent[None], self.kernel.to(latent), stride=2)[0]

    def outside(self, latent: Tensor) -> Tensor:
        """x − U·Uᵀx, [C, h, w]."""
        return latent - self.back(self.inside(latent))

    def back(self, small: Tensor) -> Tensor:
        """U·z, [C, h, w] → [C, 2h, 2w]."""
        return functional.conv_transpose2d(small[None], self.kernel.to(small), stride=2)[0]

    def mean_like(self, latent: Tensor) -> Tensor:
        """The mean of latents, as large as this one [C, h, w]."""
        return self.mean.to(latent).repeat(1, latent.shape[-2] // 2, latent.shape[-1] // 2)

    def offset(self, latent: Tensor) -> Tensor:
        """What small clean latents have besides s·Uᵀx₀ [C, 1, 1], `latent` saying on what device."""
        whole = self.mean_like(latent.new_empty(len(latent), 2, 2))
        return self.small_mean.to(latent) - self.scale * self.inside(whole)


@dataclass(frozen=True)
class HalfSize:
    """A row's first steps: until which of its schedule it has half the size; without a subspace, of averages."""

    until: int
    subspace: Subspace | None = None

    def of(self, latent: Tensor) -> Subspace:
        """The subspace of latents [C, …]."""
        return self.subspace or Subspace.averages(len(latent))

    @property
    def scale(self) -> float:
        return self.subspace.scale if self.subspace else 0.5


def shrunk(latent: Tensor, scheduler: Any, level: float, half: HalfSize) -> Tensor:
    """The small latent [C, h/2, w/2] of one [C, h, w] at a noise level, in the sampler's units."""
    gain, alpha = _units(scheduler, level, half.scale)
    subspace = half.of(latent)
    return gain * subspace.inside(latent) + alpha * subspace.offset(latent)


def grown(small: Tensor, noise: Tensor, scheduler: Any, level: float, half: HalfSize) -> Tensor:
    """The latent [C, h, w] of a small one, at a noise level of the whole size; `noise` [C, h, w] gives the rest."""
    gain, alpha = _units(scheduler, level, half.scale)
    subspace = half.of(small)
    inside = subspace.back((small - alpha * subspace.offset(small)) / gain)
    rest = subspace.outside(subspace.mean_like(noise))
    return inside + (1 - level if is_flow(scheduler) else 1.0) * rest + level * subspace.outside(noise)


def begun_small(scheduler: Any, table: StepTable, half: HalfSize, steps: int) -> StepTable:
    """A table whose first `steps` are those of latents of half the size; the others stay as they are."""
    small, levels = copy.deepcopy(scheduler), table.noise_levels[: steps + 1].float()
    if is_flow(scheduler):
        small.sigmas = half.scale * levels / (1 - (1 - half.scale) * levels)
        small.timesteps = small.sigmas[:-1] * scheduler.config.num_train_timesteps
    else:
        small.set_timesteps(sigmas=(half.scale * levels).tolist())
    return read_table(small).then(table.after(steps))


def can_begin_small(scheduler: Any) -> bool:
    """Whether it can take its first steps at half the size."""
    return type(scheduler).__name__ in SMALL and not scheduler.config.get("stochastic_sampling")


def _units(scheduler: Any, level: float, scale: float) -> tuple[float, float]:
    """What brings Uᵀx to the sampler's units, and the share of the clean latent in small ones."""
    if not is_flow(scheduler):  # x₀ + σ·ε
        return scale, 1.0
    rest = 1 - (1 - scale) * level
    return scale / rest, (1 - level) / rest
