"""P2L on a linear autoencoder and Gaussian latents, where each of its three minimisations has a closed form."""

import numpy as np
import pytest
import torch

from core.operators import Mask
from tests.workers.kinds.gaussian import assert_drawn_from
from workers.kinds.diffusion import flow_levels
from workers.kinds.p2l import Prior, Way, published, restore, tuned

SIZE, COUNT, VARIANCE, NOISE = 4, 20_000, 0.6, 0.3
WIDEN = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).Q
OPERATOR = Mask(known=np.array([[True, True], [False, True]]), noise=NOISE)
SEEN = torch.tensor([1, 1, 0, 1], dtype=torch.float64)
TEXT = torch.tensor([[0.2, -0.4, 0.5, 0.1]], dtype=torch.float64)  # the mean of the latents that it describes
MEASURED = torch.tensor([[[[1.0, -0.5], [0.0, 0.8]]]], dtype=torch.float64)


def decode(latents):
    return (latents @ WIDEN.T).view(-1, 1, 2, 2)


def encode(pictures):
    return pictures.flatten(1) @ WIDEN


def clean(latents, sigma, text):
    """E[z₀ | z_σ] of flow matching, for z₀ ~ N(text, VARIANCE·1)."""
    signal = 1 - sigma
    gain = signal * VARIANCE / (signal**2 * VARIANCE + sigma**2)
    return text + gain * (latents - signal * text)


PRIOR = Prior(clean, encode, decode)


def exactly(here, there, distance):
    """The pull that makes a gradient step E[z₀ | z_σ, y] − E[z₀ | z_σ]: latents white, A∘D with orthonormal rows."""
    left = VARIANCE * here.noise**2 / (here.signal**2 * VARIANCE + here.noise**2)
    forward = max(here.noise**2 - (here.signal / there.signal * there.noise) ** 2, 0.0)
    kept = (there.noise**2 - (there.noise / here.noise) ** 2 * forward) ** 0.5  # at eta 1
    of_clean = there.signal - kept * here.signal / here.noise
    return of_clean * here.noise**2 / max(here.signal, 1e-9) / (NOISE**2 + left)


def noise(count, seed=2):
    return torch.randn(count, SIZE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def evenly(steps):
    return flow_levels([1 - n / steps for n in range(steps + 1)])


def test_the_gradient_step_draws_from_the_posterior():
    way = Way(tuning=0, every=0, pull=exactly, eta=1.0)
    drawn = restore(PRIOR, OPERATOR, MEASURED, TEXT, evenly(250), noise(COUNT), way, torch.Generator().manual_seed(3))
    mean, gain = decode(TEXT).flatten(), SEEN * VARIANCE / (VARIANCE + NOISE**2)
    mean = mean + gain * (MEASURED.flatten() - mean)
    assert_drawn_from(drawn.flatten(1), mean, torch.diag(VARIANCE * (1 - gain)), bias=0.01)


def test_the_tuned_text_is_the_one_that_explains_the_measurement():
    """ẑ₀ = (1 − gain·signal)·text + gain·z, solved for the text; pixels that are not seen say nothing of it."""
    here, latents = evenly(10)[4], noise(1)
    found = tuned(PRIOR, OPERATOR, MEASURED, TEXT, latents, here, Way(tuning=1500, rate=0.02))
    without = clean(latents, here.time, torch.zeros_like(TEXT))
    of_text = clean(torch.zeros_like(latents), here.time, torch.ones_like(TEXT))[0, 0]
    wanted = (MEASURED.flatten() - decode(without).flatten()) / of_text
    assert torch.allclose(decode(found).flatten()[SEEN > 0], wanted[SEEN > 0], atol=1e-4)


def test_the_projection_steps_towards_the_encoded_nearest_picture():
    (here, there), latents = evenly(1), noise(1)
    way = Way(tuning=0, every=1, pull=published(0.0), trust=0.2)
    once = OPERATOR.nearest(MEASURED, decode(clean(latents, here.time, TEXT)), 0.2)
    drawn = restore(PRIOR, OPERATOR, MEASURED, TEXT, [here, there], latents, way)
    assert torch.allclose(drawn, OPERATOR.nearest(MEASURED, once, 0.2))


def test_only_every_so_manieth_step_is_projected():
    encoded = []
    prior = Prior(clean, lambda pictures: encoded.append(1) or encode(pictures), decode)
    restore(prior, OPERATOR, MEASURED, TEXT, evenly(7), noise(1), Way(tuning=1, every=3))
    assert len(encoded) == 2


def test_rows_are_restored_as_if_each_were_alone():
    levels, latents = evenly(6), noise(3)
    measured = torch.cat([MEASURED, -MEASURED, 2 * MEASURED])
    way = Way(tuning=2, every=2, pull=published(0.3))
    together = restore(PRIOR, OPERATOR, measured, TEXT.expand(3, SIZE), levels, latents, way)
    alone = [restore(PRIOR, OPERATOR, measured[n : n + 1], TEXT, levels, latents[n : n + 1], way) for n in range(3)]
    assert torch.allclose(together, torch.cat(alone), rtol=0, atol=1e-12)


@pytest.mark.parametrize("tuning", [0, 3])
def test_the_price_is_the_passes_that_are_made(tuning):
    passes = []

    def counted(latents, sigma, text):
        passes.append(1)
        return clean(latents, sigma, text)

    way = Way(tuning=tuning)
    restore(Prior(counted, encode, decode), OPERATOR, MEASURED, TEXT, evenly(5), noise(1), way)
    assert len(passes) == way.gradients(5)


def test_with_all_three_the_measurement_is_met_better_than_by_gradient_steps_alone():
    levels, latents = evenly(12), noise(50)
    measured = MEASURED.expand(50, 1, 2, 2)

    def misfit(way):
        drawn = restore(PRIOR, OPERATOR, measured, TEXT.expand(50, SIZE), levels, latents, way)
        return OPERATOR.misfit(drawn, measured).mean()

    assert misfit(Way(pull=published(0.1))) < misfit(Way(tuning=0, every=0, pull=published(0.1))) / 2
