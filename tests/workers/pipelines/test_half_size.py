"""Latents that begin at half the size: closed forms of normally distributed ones, in float64."""

from __future__ import annotations

from typing import Any

import diffusers
import pytest
import torch

from families.embedded.model import FlowMatchEulerDiscreteScheduler
from tests.workers.toys import SCHEDULERS
from workers.pipelines.growing import noise_level, take_small_steps
from workers.pipelines.half_size import HalfSize, Subspace, can_begin_small, grown, shrunk
from workers.pipelines.samplers import SamplerState

CHANNELS, SHAPE, STEPS = 3, (3, 8, 8), 8
KINDS = {
    "flow": lambda: FlowMatchEulerDiscreteScheduler(shift=2.0),
    "euler": lambda: diffusers.EulerDiscreteScheduler(timestep_spacing="trailing"),
}


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def found() -> Subspace:
    """A subspace as calibration might find one: no averages, and means of its own."""
    basis, _ = torch.linalg.qr(drawn(4 * CHANNELS, CHANNELS, seed=8))
    means = drawn(CHANNELS, 2, 2, seed=9), drawn(CHANNELS, 1, 1, seed=10)
    return Subspace(basis.T.reshape(CHANNELS, CHANNELS, 2, 2), *means, scale=0.7)


SUBSPACES = {"averages": Subspace.averages(CHANNELS), "found": found()}
every = pytest.mark.parametrize(("name", "subspace"), [(n, s) for n in KINDS for s in SUBSPACES])


def half_of(subspace: str, until: int = 4) -> HalfSize:
    return HalfSize(until, SUBSPACES[subspace] if subspace == "found" else None)


def alpha(name: str, level: float) -> float:
    return 1 - level if name == "flow" else 1.0


def test_averages_are_of_each_two_by_two():
    latent = drawn(*SHAPE)
    means = torch.nn.functional.avg_pool2d(latent, 2)
    averages = SUBSPACES["averages"]
    assert (averages.scale * averages.inside(latent) - means).abs().max() < 1e-12
    repeated = means.repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert (averages.back(averages.inside(latent)) - repeated).abs().max() < 1e-12


@every
def test_a_small_latent_is_what_noise_of_the_tables_level_added_to_the_small_clean_one_gives(name: str, subspace: str):
    scheduler, half, seen = KINDS[name](), half_of(subspace), SUBSPACES[subspace]
    whole, small = SamplerState(scheduler, STEPS), SamplerState(scheduler, STEPS)
    take_small_steps(small, scheduler, half)
    clean, noise = drawn(2, *SHAPE)
    small_clean = seen.scale * seen.inside(clean - seen.mean_like(clean)) + seen.small_mean
    for step in range(half.until):
        level, lower = (float(sampler.table.noise_levels[step]) for sampler in (whole, small))
        latent = alpha(name, level) * clean + level * noise
        expected = alpha(name, lower) * small_clean + lower * seen.inside(noise)
        assert (shrunk(latent, scheduler, level, half) - expected).abs().max() < 1e-5 * max(1.0, level)
    assert torch.equal(small.table.noise_levels[half.until :], whole.table.noise_levels[half.until :])


@every
def test_a_grown_latent_has_the_mean_and_covariance_of_one_that_was_never_small(name: str, subspace: str):
    """x₀ ~ N(m, U·C·Uᵀ), so x_σ ~ N(α·m, α²·U·C·Uᵀ + σ²·I): by samples, every pair of cells."""
    scheduler, half, seen, count = KINDS[name](), half_of(subspace), SUBSPACES[subspace], 20_000
    level = float(SamplerState(scheduler, STEPS).table.noise_levels[5])
    mean, mixing = seen.mean_like(drawn(CHANNELS, 2, 2)), drawn(CHANNELS, CHANNELS, seed=4)
    inner = (drawn(count, CHANNELS, seed=5) @ mixing)[..., None, None]
    noise, other = drawn(count, CHANNELS, 2, 2, seed=6), drawn(count, CHANNELS, 2, 2, seed=7)
    again = []
    for one, first, second in zip(inner, noise, other, strict=True):
        latent = alpha(name, level) * (mean + seen.back(one)) + level * first
        again.append(grown(shrunk(latent, scheduler, level, half), second, scheduler, level, half).flatten())
    basis = torch.stack([seen.back(unit[:, None, None]).flatten() for unit in torch.eye(CHANNELS).double()])
    covariance = basis.T @ mixing.T @ mixing @ basis
    expected = alpha(name, level) ** 2 * covariance + level**2 * torch.eye(4 * CHANNELS, dtype=torch.float64)
    sampled = torch.stack(again)
    assert (sampled.mean(0) - alpha(name, level) * mean.flatten()).abs().max() < 0.05 * expected.diagonal().max() ** 0.5
    assert (torch.cov(sampled.T) - expected).abs().max() < 0.05 * expected.diagonal().max()


@every
@pytest.mark.parametrize("until", [1, 3, 6])
def test_where_latents_vary_in_the_subspace_alone_a_run_that_begins_small_ends_as_one_that_does_not(
    name: str, subspace: str, until: int
):
    """With the exact denoisers of x₀ ~ N(m, v·U·Uᵀ) and of its small latents."""
    scheduler, seen, noise = KINDS[name](), SUBSPACES[subspace], drawn(*SHAPE, seed=2)

    def run(half: HalfSize | None) -> torch.Tensor:
        sampler = SamplerState(scheduler, STEPS)
        latent = noise * sampler.noise_scale
        if half:
            latent = shrunk(latent, scheduler, noise_level(sampler), half)
            take_small_steps(sampler, scheduler, half)
        for step in range(STEPS):
            if half and step == half.until:
                latent = grown(latent, noise, scheduler, noise_level(sampler), half)
            clean = expected_clean(name, latent, noise_level(sampler), seen, latent.shape != noise.shape)
            latent = stepped(sampler, latent, clean)
        return latent

    assert (run(half_of(subspace, until)) - run(None)).abs().max() < 2e-5


def expected_clean(
    name: str, latent: torch.Tensor, level: float, seen: Subspace, small: bool, variance: float = 0.5
) -> torch.Tensor:
    """E[x₀ | x_σ], of the whole latent or of the small one."""
    a = alpha(name, level)
    if small:
        varying = seen.scale**2 * variance
        return seen.small_mean + a * varying / (a**2 * varying + level**2) * (latent - a * seen.small_mean)
    mean = seen.mean_like(latent)
    return mean + a * variance / (a**2 * variance + level**2) * seen.back(seen.inside(latent - a * mean))


def stepped(sampler: Any, latent: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """One step of the sampler towards a clean latent: of both kinds the network predicts (x − x₀)/σ."""
    prediction = (latent - clean) / noise_level(sampler)
    a, b = sampler.coefficient("latent_weight"), sampler.coefficient("prediction_weight")
    sampler.index += 1
    return a * latent + b * prediction


@pytest.mark.parametrize("name", ["ddim", "euler-a", "dpm++", "lcm", "heun"])
def test_samplers_whose_steps_do_not_lead_between_sigmas_are_told_apart(name: str):
    assert not can_begin_small(SCHEDULERS[name]())
    assert can_begin_small(SCHEDULERS["euler"]())
