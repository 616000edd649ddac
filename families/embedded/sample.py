"""Plain sampling, without the engine: for the recipe, for sample sheets and as a reference in tests."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from families.embedded.model import EMPTY_PROMPT, EmbeddedMember, predict_clean

SHIFT = 2.0  # of the noise levels, as in every member's scheduler settings
Text = tuple[Tensor, Tensor]  # token states (B, 24, 384) and their mask (B, 24)


def shifted_sigmas(steps: int, shift: float = SHIFT) -> list[float]:
    """The sampler's noise levels, `steps` + 1 of them, from 1 to 0 (Esser et al. 2024, eq. 23)."""
    plain = [1 - step / steps for step in range(steps + 1)]
    return [shift * level / (1 + (shift - 1) * level) for level in plain]


def guided_clean(
    denoiser: nn.Module, latents: Tensor, sigma: Tensor | float, text: Text, empty: Text, guidance: float
) -> Tensor:
    """x₀ (B, C, h, w) under classifier-free guidance (Ho & Salimans 2021, eq. 6): both halves in one batch."""
    if guidance == 1:
        return predict_clean(denoiser, latents, sigma, *text)
    states, mask = (torch.cat([none.expand_as(given), given]) for none, given in zip(empty, text, strict=True))
    sigma = torch.as_tensor(sigma, device=latents.device).expand(len(latents)).repeat(2)
    without, given = predict_clean(denoiser, latents.repeat(2, 1, 1, 1), sigma, states, mask).chunk(2)
    return without + guidance * (given - without)


def toward(latents: Tensor, clean: Tensor, here: Tensor | float, there: Tensor | float) -> Tensor:
    """An Euler step from noise level `here` towards `clean`, as far as `there`: x + (there − here)·(x − x₀)/here."""
    return clean + (latents - clean) * (there / here)


@torch.no_grad()
def sample(
    denoiser: nn.Module, noise: Tensor, sigmas: Sequence[float], text: Text, empty: Text, guidance: float
) -> Tensor:
    """Latents at the last of `sigmas` from latents at the first, an Euler step for each pair of neighbours."""
    latents = noise
    for here, there in pairwise(sigmas):
        latents = toward(latents, guided_clean(denoiser, latents, here, text, empty, guidance), here, there)
    return latents


def noise_of(seeds: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """Initial latents (B, *shape): a row depends on its own seed alone."""
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def pictures(
    member: EmbeddedMember,
    prompts: Sequence[str],
    seeds: Sequence[int],
    steps: int,
    guidance: float,
    size: int | None = None,
) -> np.ndarray:
    """Pictures (B, size, size, 3) in uint8, as the engine would draw them."""
    noise = noise_of(seeds, member.codec.latent_shape_of(size or member.codec.size))
    text, empty = member.text.tokens(prompts), member.text.tokens([EMPTY_PROMPT])
    sigmas = shifted_sigmas(steps, member.scheduler_config["shift"])
    latents = sample(member.denoiser, noise, sigmas, text, empty, guidance if member.guided else 1.0)
    return member.codec.decode(latents).numpy()
