"""Rows at an adapter: how they begin, from noise or an image (`source.py`), those of `sub` levels at half the size, and
grow (`half_size.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.errors import BadFamily, CacheEntryDamaged
from core.levels import Level
from workers.engine.request import GenerationRequest
from workers.pipelines.half_size import SMALL, HalfSize, begun_small, can_begin_small, grown, shrunk
from workers.pipelines.kept import Kept
from workers.pipelines.noise import generator_of
from workers.pipelines.rows import Row, Start, Tensors
from workers.pipelines.samplers import SamplerState
from workers.pipelines.source import latent_mask, pixels_of


def check_half_size(adapter: Any, level: Level) -> None:
    """Pass where rows can begin small; raises `BadFamily` where the sampler's steps do not lead between sigmas."""
    if not can_begin_small(adapter.scheduler):
        raise BadFamily(
            f"Level {level.id!r} begins at half the size (strategy sub), which the sampler of model "
            f"{level.model!r}, {type(adapter.scheduler).__name__}, cannot. Use {' or '.join(SMALL)}.",
            field=f"models.{level.model}.scheduler",
        )


@dataclass(frozen=True, eq=False)
class Placed:
    """Where a row begins: its latent, its sampler, `half` the size if so, and what inpainting keeps."""

    latent: Tensor
    sampler: SamplerState
    half: HalfSize | None = None
    kept: Kept | None = None


def place(adapter: Any, request: GenerationRequest, start: Start) -> Placed:
    """The first latent of a request. One that begins at half the size has the same noise, what of it is in its
    subspace; of one with a source the seed decides what is drawn of its encoder's distribution first."""
    generator, source = generator_of(request.seed), request.source
    clean: Tensor | None = None
    if source is not None:
        clean = adapter.latent_of(pixels_of(source.image, adapter.drawn_size(request)), generator)
    noise = adapter.pack(drawn(adapter, request, generator))[0]
    sampler = SamplerState(adapter.scheduler, start.steps, start.skip, generator, **adapter.timing(start.steps, noise))
    if clean is not None:
        return with_source(adapter, request, sampler, adapter.pack(clean[None])[0].to(noise), noise)
    latent = first_latent(noise, start, sampler)
    if start.small:
        latent = begin_small(adapter, request, latent, sampler, start.small)
    return Placed(latent, sampler, start.small)


def with_source(
    adapter: Any, request: GenerationRequest, sampler: SamplerState, clean: Tensor, noise: Tensor
) -> Placed:
    """Where a row with a source begins; `clean` and `noise` laid out as rows have them."""
    assert request.source is not None
    if request.source.mask is None:
        return Placed(sampler.add_noise(clean, noise), sampler)
    kept = Kept(clean, noise, latent_mask(adapter, request, request.source.mask).to(noise))
    whole = sampler.steps_done == 0  # nothing of the image is left under the mask
    return Placed(noise * sampler.noise_scale if whole else sampler.add_noise(clean, noise), sampler, kept=kept)


def drawn(adapter: Any, request: GenerationRequest, generator: torch.Generator) -> Tensor:
    """The noise of a request [1, C, h, w]."""
    shape = (1, *adapter.noise_shape(request))
    return torch.randn(shape, generator=generator, dtype=adapter.state_dtype, device="cpu").to(adapter.device)


def first_latent(noise: Tensor, start: Start, sampler: SamplerState) -> Tensor:
    """The latent at the whole size that a row begins with; raises `CacheEntryDamaged` where a cached one is no such."""
    if start.latent is None:
        return noise * sampler.noise_scale
    if start.latent.shape != noise.shape:
        raise CacheEntryDamaged(f"A cached latent has shape {tuple(start.latent.shape)}, not {tuple(noise.shape)}.")
    cached = start.latent.to(noise)
    return sampler.add_noise(cached, noise) if start.clean else cached


def row_of(
    adapter: Any,
    request: GenerationRequest,
    encoded: tuple[Tensors, Tensors | None],
    guidance: float,
    begun: Placed,
) -> Row:
    """A row that begins so, which sees the size it is drawn at until it grows."""
    size = (request.width, request.height)
    row = Row(begun.latent, *encoded, guidance, begun.sampler, size, half=begun.half, kept=begun.kept)
    if begun.half is not None:
        fit(adapter, row, request.at_half_size)
    return row


def noise_level(sampler: SamplerState) -> float:
    """Where the next step of a sampler with a table begins."""
    assert sampler.table is not None
    return float(sampler.table.noise_levels[sampler.index])


def begin_small(
    adapter: Any, request: GenerationRequest, latent: Tensor, sampler: SamplerState, half: HalfSize
) -> Tensor:
    """The small latent that a row begins with instead of this one; its sampler takes the first steps at that size."""
    whole = adapter.unpack(latent, adapter.noise_shape(request))
    small = shrunk(whole, adapter.scheduler, noise_level(sampler), half)
    take_small_steps(sampler, adapter.scheduler, half)
    packed: Tensor = adapter.pack(small[None])[0]
    return packed


def take_small_steps(sampler: SamplerState, scheduler: Any, half: HalfSize) -> None:
    """Let a sampler take its steps from here on at half the size, until the one that `half` says."""
    assert sampler.table is not None
    sampler.table = begun_small(scheduler, sampler.table, half, half.until - sampler.steps_done)


def fit(adapter: Any, row: Row, request: GenerationRequest) -> None:
    """Give a row what the denoiser sees of the size of this request."""
    same, row.size = adapter.inputs_of(request, row.guidance), (request.width, request.height)
    row.conditioning = {**row.conditioning, **same}
    row.negative = None if row.negative is None else {**row.negative, **same}


@torch.inference_mode()
def grow(adapter: Any, row: Row, request: GenerationRequest) -> None:
    """Give a row that has had its steps at half the size its whole latent."""
    assert row.half is not None
    noise = drawn(adapter, request, generator_of(request.seed))[0]
    small = adapter.unpack(row.latent, adapter.noise_shape(request.at_half_size))
    whole = grown(small, noise, adapter.scheduler, noise_level(row.sampler), row.half)
    row.latent, row.half = adapter.pack(whole[None])[0], None
    fit(adapter, row, request)
