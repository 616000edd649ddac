"""Plain sampling, without the engine: for sample sheets, distillation and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from families.embedded.model import EMPTY_PROMPT, EmbeddedMember, predict_clean


def shifted_sigmas(steps: int, shift: float) -> Tensor:
    """The sampler's noise levels, `steps` + 1 of them, from 1 to 0 (Esser et al. 2024, eq. 23)."""
    plain = torch.linspace(1, 0, steps + 1)
    return shift * plain / (1 + (shift - 1) * plain)


def guided_clean(
    denoiser: nn.Module,
    latents: Tensor,
    sigma: Tensor | float,
    text: tuple[Tensor, Tensor],
    empty: tuple[Tensor, Tensor],
    guidance: float,
) -> Tensor:
    """x₀ under classifier-free guidance (Ho & Salimans 2021, eq. 6): both halves in one batch."""
    if guidance == 1:
        return predict_clean(denoiser, latents, sigma, *text)
    both = [torch.cat([there.expand_as(here), here]) for here, there in zip(text, empty, strict=True)]
    sigma = torch.as_tensor(sigma, dtype=latents.dtype).expand(len(latents)).repeat(2)
    without, given = predict_clean(denoiser, latents.repeat(2, 1, 1, 1), sigma, *both).chunk(2)
    return without + guidance * (given - without)


def euler(latents: Tensor, clean: Tensor, here: Tensor | float, there: Tensor | float) -> Tensor:
    """From noise level `here` straight towards `clean`, as far as `there`: x + (there − here)·(x − x₀)/here."""
    return clean + (latents - clean) * (there / here)


def noise_of(seeds: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """Initial latents (B, *shape): a row depends on its own seed alone."""
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


@torch.no_grad()
def sample(
    denoiser: nn.Module,
    noise: Tensor,
    text: tuple[Tensor, Tensor],
    empty: tuple[Tensor, Tensor],
    steps: int,
    shift: float,
    guidance: float,
) -> Tensor:
    """Clean latents from noise, by `steps` Euler steps."""
    latents, sigmas = noise, shifted_sigmas(steps, shift).to(noise)
    for here, there in pairwise(sigmas):
        latents = euler(latents, guided_clean(denoiser, latents, here, text, empty, guidance), here, there)
    return latents


def pictures(
    member: EmbeddedMember, prompts: Sequence[str], seeds: Sequence[int], steps: int, guidance: float
) -> np.ndarray:
    """Pictures (B, 128, 128, 3) in uint8, as the engine would draw them."""
    noise = noise_of(seeds, member.codec.latent_shape)
    text, empty = member.text.tokens(prompts), member.text.tokens([EMPTY_PROMPT])
    shift = member.scheduler_config["shift"]
    latents = sample(member.denoiser, noise, text, empty, steps, shift, guidance if member.guided else 1.0)
    return member.codec.decode(latents).numpy()
