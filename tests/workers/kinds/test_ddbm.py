"""Bridges between Gaussian pairs: samples have the conditional mean and covariance of x₀ given x_T."""

import pytest
import torch

from tests.workers.kinds.gaussian import assert_drawn_from, posterior_mean, spread
from workers.kinds.bridges import Preconditioned, VarianceExploding, VariancePreserving
from workers.kinds.ddbm import dbim, dbim_times, ddbm, ddbm_times

SIZE, COUNT = 3, 20_000
COVARIANCE = spread(SIZE, seed=1)  # of x₀ given x_T
SLOPE = torch.tensor([[0.8, 0.1, 0.0], [-0.3, 0.6, 0.2], [0.0, 0.0, 1.0]], dtype=torch.float64)
SHIFT = torch.tensor([0.5, -0.2, 0.1], dtype=torch.float64)
SOURCE = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64)
MEAN = (SOURCE @ SLOPE.T + SHIFT)[0]
BRIDGES = [VariancePreserving(), VarianceExploding(end=3.0)]


def denoiser_of(bridge):
    """E[x₀ | x_t, x_T] of pairs with x₀ | x_T ~ N(SLOPE·x_T + SHIFT, COVARIANCE)."""

    def denoiser(x, time, source):
        expected = source @ SLOPE.T + SHIFT
        a, b, c = bridge.weights(time)
        return expected if c == 0 else posterior_mean(expected, COVARIANCE, x - a * source, b, c)

    return denoiser


@pytest.fixture(params=BRIDGES, ids=lambda bridge: type(bridge).__name__)
def bridge(request):
    return request.param


def test_a_bridge_begins_at_the_source_and_ends_at_the_picture(bridge):
    assert bridge.weights(bridge.end) == pytest.approx((1.0, 0.0, 0.0))
    assert bridge.weights(0.0) == pytest.approx((0.0, 1.0, 0.0))


def test_drift_and_diffusion_are_those_of_signal_and_noise(bridge):
    """d(log α)/dt = f and d(ρ²)/dt = g²/α²."""
    time, near = 0.4 * bridge.end, 1e-6
    of_signal = (bridge.signal(time + near) - bridge.signal(time - near)) / (2 * near * bridge.signal(time))
    of_noise = (bridge.ratio(time + near) ** 2 - bridge.ratio(time - near) ** 2) / (2 * near)
    assert of_signal == pytest.approx(bridge.drift(time), abs=1e-7)
    assert of_noise == pytest.approx(bridge.diffusion(time) / bridge.signal(time) ** 2, rel=1e-6)


def test_ddbm_draws_from_the_conditional_distribution(bridge):
    source = SOURCE.expand(COUNT, SIZE)
    times = ddbm_times(bridge, 120)
    drawn = ddbm(denoiser_of(bridge), bridge, source, times, 0.33, torch.Generator().manual_seed(2))
    assert_drawn_from(drawn, MEAN, COVARIANCE, bias=0.01)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_dbim_draws_from_the_conditional_distribution(bridge, eta):
    source = SOURCE.expand(COUNT, SIZE)
    times = dbim_times(bridge, 300)
    drawn = dbim(denoiser_of(bridge), bridge, source, times, eta, torch.Generator().manual_seed(3))
    assert_drawn_from(drawn, MEAN, COVARIANCE, bias=0.01)


def test_dbim_is_nearer_than_ddbm_in_as_many_denoisings(bridge):
    """Eleven of them: what its authors claim for it, here in the covariance of samples."""
    source, denoiser = SOURCE.expand(COUNT, SIZE), denoiser_of(bridge)
    fast = dbim(denoiser, bridge, source, dbim_times(bridge, 10), 0.0, torch.Generator().manual_seed(4))
    slow = ddbm(denoiser, bridge, source, ddbm_times(bridge, 4), 0.33, torch.Generator().manual_seed(4))
    off = [(drawn.T.cov() - COVARIANCE).norm() for drawn in (fast, slow)]
    assert off[0] < off[1]


def test_without_churn_and_without_noise_a_source_has_one_picture(bridge):
    source = SOURCE.expand(4, SIZE)
    drawn = ddbm(denoiser_of(bridge), bridge, source, ddbm_times(bridge, 200), churn=0.0)
    assert torch.equal(drawn, drawn[:1].expand_as(drawn))
    assert torch.allclose(drawn[0], MEAN, atol=0.1)  # it begins at x_T, a little beside the mean there


@pytest.mark.parametrize("share", [0.05, 0.4, 0.95])
def test_scalings_give_a_network_inputs_and_targets_of_unit_variance(bridge, share):
    """And what is skipped past it is uncorrelated with what it has to learn: the best linear guess."""
    generator = torch.Generator().manual_seed(6)
    clean = 0.7 * torch.randn(200_000, generator=generator, dtype=torch.float64)
    source = 0.6 * clean + 0.5 * torch.randn(200_000, generator=generator, dtype=torch.float64)
    denoiser = Preconditioned(lambda x, t, s: 0 * x, bridge, 0.7, (0.42**2 + 0.25) ** 0.5, 0.6 * 0.49)
    a, b, c = bridge.weights(share * bridge.end)
    x = a * source + b * clean + c * torch.randn(200_000, generator=generator, dtype=torch.float64)
    skip, out, into = denoiser.scalings(share * bridge.end)
    target = (clean - skip * x) / out
    assert (into * x).std().item() == pytest.approx(1, abs=0.01)
    assert target.std().item() == pytest.approx(1, abs=0.01)
    assert (target * x).mean().item() == pytest.approx(0, abs=0.02)
    assert torch.equal(denoiser(x, share * bridge.end, source), skip * x)
