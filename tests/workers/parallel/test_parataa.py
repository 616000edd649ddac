"""ParaTAA ends where serial steps end, in fewer turns."""

from __future__ import annotations

import dataclasses
import statistics
from functools import partial
from types import SimpleNamespace

import diffusers
import pytest
import torch
from torch import Tensor

from core.errors import OutOfRange
from tests.workers.parallel.companies import batch_of, by_processes, draw_runs, drawn
from workers.parallel.mode import Serial, draw
from workers.parallel.parataa import ParaTAA
from workers.pipelines.random_weights import BETAS
from workers.pipelines.rows import Batch, Row
from workers.pipelines.samplers import SamplerState

ARCHITECTURES = ("sd15", "sdxl", "sd3", "flux", "unet", "dit")


class Mixture:
    """The exact noise prediction where data are eight normal distributions of deviation 0.3 in 16 dimensions."""

    def __init__(self, scheduler: diffusers.DDIMScheduler) -> None:
        self.alphas = scheduler.alphas_cumprod.double()
        self.means = torch.randn(8, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def denoise(self, batch: Batch) -> Tensor:
        alpha = self.alphas[batch.times().long()][:, None]
        apart = batch.latents[:, None] - alpha.sqrt()[..., None] * self.means
        variance = 0.09 * alpha + 1 - alpha
        weights = (-(apart**2).sum(-1) / (2 * variance)).softmax(-1)
        return (1 - alpha).sqrt() * (weights[..., None] * apart).sum(1) / variance

    def advance(self, batch: Batch, predictions: Tensor) -> None:
        (row,) = batch.rows
        a, b = (row.sampler.coefficient(name) for name in ("latent_weight", "prediction_weight"))
        batch.latents.copy_(a * batch.latents + b * predictions)
        row.sampler.index += 1


@pytest.fixture(scope="module")
def mixture() -> SimpleNamespace:
    scheduler = diffusers.DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1, **BETAS)

    def batch(seed: int) -> Batch:
        noise = torch.randn(16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return Batch.of([Row(noise, {}, None, 1.0, SamplerState(scheduler, 100), (1, 1))])

    return SimpleNamespace(adapter=Mixture(scheduler), batch=batch)


def test_a_hundred_steps_of_ddim_on_a_mixture_take_seven_iterations(mixture):
    taken, apart = [], []
    for seed in range(12):
        mode = ParaTAA(mixture.adapter)
        ends = draw(mode, mixture.batch(seed)) - draw(Serial(mixture.adapter), mixture.batch(seed))
        taken.append(mode.iterations)
        apart.append(float(ends.abs().max()))
    assert statistics.median(taken) <= 7, taken
    assert max(apart) < 0.05
    plain = ParaTAA(mixture.adapter, history=0)
    draw(plain, mixture.batch(0))
    assert plain.iterations > taken[0]  # without acceleration it takes more


def test_no_tolerance_ends_where_serial_steps_end_in_at_most_as_many_turns(mixture):
    mode = ParaTAA(mixture.adapter, tolerance=0.0)
    ends = draw(mode, mixture.batch(3))
    assert (ends - draw(Serial(mixture.adapter), mixture.batch(3))).abs().max() < 1e-9
    assert mode.iterations <= 100


def test_a_sliding_window_ends_at_the_same_place(mixture):
    mode = ParaTAA(mixture.adapter, window=20, tolerance=0.01)
    ends = draw(mode, mixture.batch(5))
    assert (ends - draw(Serial(mixture.adapter), mixture.batch(5))).abs().max() < 0.02
    assert mode.iterations < 50


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_window_of_one_state_is_the_serial_run_bit_for_bit(toys, architecture: str):
    adapter = toys.adapter(architecture, "ddim" if architecture == "sd15" else None)
    serial = draw(Serial(adapter), batch_of(adapter))
    mode = ParaTAA(adapter, window=1)
    assert torch.equal(draw(mode, batch_of(adapter)), serial)
    assert mode.iterations == 6
    whole = draw(ParaTAA(adapter, tolerance=1e-12), batch_of(adapter))
    assert (whole - serial).abs().max() < 1e-8


def test_two_ranks_share_the_rows_and_processes_draw_what_threads_draw(toys, tmp_path):
    adapter = toys.adapter("unet")
    one, other = drawn(adapter, 2, ParaTAA)
    assert torch.equal(one, other)
    assert (one - draw(ParaTAA(adapter), batch_of(adapter))).abs().max() < 1e-9
    runs = [(adapter.model, ParaTAA, {})]
    assert all(torch.equal(latents, one) for (latents,) in by_processes(2, partial(draw_runs, runs), tmp_path))


def test_a_sampler_that_is_not_linear_is_refused(toys):
    adapter = toys.adapter("sd15", "dpm++")
    with pytest.raises(OutOfRange, match="linear sampler"):
        ParaTAA(adapter).turn(batch_of(adapter))
    linear = toys.adapter("sd15", "ddim")
    batch = batch_of(linear)
    two = dataclasses.replace(batch, rows=[*batch.rows, *batch.rows])
    with pytest.raises(OutOfRange, match="one request"):
        ParaTAA(linear).turn(two)
