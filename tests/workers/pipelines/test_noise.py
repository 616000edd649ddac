"""A seed's noise."""

from __future__ import annotations

import torch

from workers.pipelines.noise import generator_of


def noise(seed: int) -> torch.Tensor:
    return torch.randn(64, generator=generator_of(seed))


def test_seeds_of_32_bits_give_the_noise_that_torch_gives_them() -> None:
    for seed in (0, 7, 2**32 - 1):
        assert torch.equal(noise(seed), torch.randn(64, generator=torch.Generator("cpu").manual_seed(seed)))


def test_wide_seeds_that_share_their_low_bits_give_different_noise() -> None:
    seeds = [7, 2**32 + 7, 2**33 + 7, 2**62 + 7, 2**63 - 1, 2**32 - 1]
    drawn = [noise(seed) for seed in seeds]
    assert all(torch.equal(noise(seed), first) for seed, first in zip(seeds, drawn, strict=True))
    assert not any(torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])
