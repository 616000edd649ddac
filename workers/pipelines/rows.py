"""What a request brings into a batch, and a batch as a denoiser sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from workers.pipelines.feature_cache import HALVES, CacheContext
from workers.pipelines.half_size import HalfSize
from workers.pipelines.kept import Kept
from workers.pipelines.reuse import Reuse
from workers.pipelines.samplers import SamplerState

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Start:
    """Where a request begins: the steps of its schedule, how many are skipped, and the latent to continue from.

    `latent` is x_K of another request, to which no noise is added. With `clean` it is a finished latent, to which noise
    of level K is added first (MoDM's way). Its first steps may be at `half` the size.
    """

    steps: int
    skip: int = 0
    latent: Tensor | None = None
    clean: bool = False
    similarity: float | None = None
    note: str | None = None
    half: HalfSize | None = None

    @property
    def small(self) -> HalfSize | None:
        """Its steps at half the size, where it begins before the last of them."""
        return self.half if self.half is not None and self.half.until > self.skip else None

    def noting(self, text: str) -> Start:
        """The same with one more thing to say of it."""
        return replace(self, note=f"{self.note}; {text}" if self.note else text)


@dataclass
class Row:
    """What one request brings into a batch; no tensor has a batch axis."""

    latent: Tensor
    conditioning: Tensors
    negative: Tensors | None  # the unconditional half; None where guidance needs none
    guidance: float
    sampler: SamplerState
    size: tuple[int, int]  # width, height in pixels, of what the latent shows now
    cache_context: CacheContext | None = None  # of an `fc` level: such a row takes forwards of its own
    reuse: Reuse | None = None  # of a `cq` level: such a row reuses deep features at some steps
    half: HalfSize | None = None  # as long as its latent has half the size
    kept: Kept | None = None  # what inpainting keeps

    @property
    def shape(self) -> tuple[Any, ...]:
        """Rows of equal shape (and model) fit into one forward."""
        sizes = tuple((name, tuple(value.shape)) for name, value in sorted(self.conditioning.items()))
        return (tuple(self.latent.shape), sizes)

    @property
    def due_to_grow(self) -> bool:
        """Whether its latent has had its steps at half the size."""
        return self.half is not None and self.half.until <= self.sampler.steps_done

    @property
    def computes(self) -> bool:
        """Whether the next step runs the whole denoiser."""
        return self.reuse is None or self.reuse.computes(self.sampler.index)


@dataclass(frozen=True)
class Batch:
    """n contiguous rows: latents [n, …], conditioning and negative {name: [n, …]}."""

    rows: Sequence[Row]
    latents: Tensor
    conditioning: Tensors
    negative: Tensors

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Batch:
        """Rows of one shape, copied into tensors of their own; all guided or none."""
        names = rows[0].conditioning
        return cls(
            rows,
            torch.stack([row.latent for row in rows]),
            {name: torch.stack([row.conditioning[name] for row in rows]) for name in names},
            {
                name: torch.stack([row.negative[name] for row in rows if row.negative])
                for name in rows[0].negative or {}
            },
        )

    def select(self, indices: Sequence[int]) -> Batch:
        """Some of the rows in this order, copied; each may come more than once."""
        index = to_device(torch.tensor(indices), self.latents.device)
        conditioning, negative = (
            {name: value.index_select(0, index) for name, value in half.items()}
            for half in (self.conditioning, self.negative)
        )
        return Batch([self.rows[i] for i in indices], self.latents.index_select(0, index), conditioning, negative)

    @property
    def guided(self) -> list[int]:
        """Indices of the rows that need an unconditional half."""
        return [i for i, row in enumerate(self.rows) if row.negative is not None]

    def inputs(self) -> Tensor:
        """The latents as the denoiser wants them: scaled by each row's sampler."""
        samplers = [row.sampler for row in self.rows]
        if all(sampler.linear for sampler in samplers):
            scale = [sampler.coefficient("input_scale") for sampler in samplers]
            return self.latents if set(scale) == {1.0} else self.latents * column(scale, self.latents)
        return torch.cat([sampler.scale_input(self.latents[i : i + 1]) for i, sampler in enumerate(samplers)])

    def times(self) -> Tensor:
        """The model's time of each row [n]."""
        return to_device(torch.stack([row.sampler.time for row in self.rows]), self.latents.device)

    def halves(self) -> tuple[Tensor, Tensor, Tensors]:
        """What one forward takes: latents, times and conditioning of all n rows, then of the guided ones again with
        their negative conditioning."""
        guided = self.guided
        if not guided:
            return self.inputs(), self.times(), self.conditioning
        latents, times, chosen = self.inputs(), self.times(), _chosen(guided, self.latents)
        both = {name: torch.cat([value, chosen(self.negative[name])]) for name, value in self.conditioning.items()}
        return torch.cat([latents, chosen(latents)]), torch.cat([times, chosen(times)]), both

    def combined(self, out: Tensor) -> Tensor:
        """Guided predictions [n, …] from what the forward of `halves` answered (Ho & Salimans 2022, eq. 6)."""
        guided, rows = self.guided, len(self.rows)
        if not guided:
            return out
        conditional, unconditional = out[:rows], out[rows:]
        chosen = _chosen(guided, self.latents)
        weight = column([self.rows[i].guidance for i in guided], out)
        mixed = unconditional + weight * (chosen(conditional) - unconditional)
        if len(guided) == rows:
            return mixed
        return conditional.index_copy(0, to_device(torch.tensor(guided), out.device), mixed)


def _chosen(indices: Sequence[int], like: Tensor) -> Callable[[Tensor], Tensor]:
    """Picks these rows of a tensor [n, …]; all of them without a copy."""
    if len(indices) == len(like):
        return lambda tensor: tensor
    index = to_device(torch.tensor(indices), like.device)
    return lambda tensor: tensor.index_select(0, index)


def denoise_with_feature_cache(batch: Batch) -> Tensor:
    """The guided prediction [1, …] of a row of an `fc` level: each half in a forward and a context of its own."""
    (row,) = batch.rows
    assert row.cache_context is not None
    inputs, times = batch.inputs(), batch.times()
    conditional, unconditional = HALVES
    prediction = row.cache_context.forward(conditional, inputs, times, batch.conditioning)
    if row.negative is None:
        return prediction
    without = row.cache_context.forward(unconditional, inputs, times, batch.negative)
    return without + row.guidance * (prediction - without)


def column(values: Sequence[float], like: Tensor) -> Tensor:
    """[n] numbers shaped to multiply an [n, …] tensor."""
    numbers = to_device(torch.tensor(values, dtype=like.dtype), like.device)
    return numbers.view(-1, *[1] * (like.dim() - 1))


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Bring a small tensor from the host to the device without waiting for what the device still has to do."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
