"""The plain loop on Gaussian data: prior without a hook, posterior with the hook that knows the measurement."""

import math

import pytest
import torch

from tests.workers.kinds.gaussian import assert_drawn_from, posterior_mean, spread
from workers.kinds.diffusion import Level, flow_levels, sample, step

SIZE, COUNT, STEPS = 3, 20_000, 300
MEAN = torch.tensor([0.4, -0.3, 0.8], dtype=torch.float64)
COVARIANCE = spread(SIZE, seed=5)
FLOW = flow_levels([1 - n / STEPS for n in range(STEPS + 1)])
ANGLES = [0.5 * math.pi * (1 - n / STEPS) for n in range(STEPS + 1)]
COSINE = [Level(angle, max(math.cos(angle), 1e-9), math.sin(angle)) for angle in ANGLES]  # keeps the variance
SCHEDULES = {"flow": FLOW, "cosine": COSINE}


def noise(seed):
    return torch.randn(COUNT, SIZE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_samples_have_the_mean_and_covariance_of_the_data(schedule, eta):
    levels = SCHEDULES[schedule]
    at = {level.time: level for level in levels}

    def denoiser(x, time):
        return posterior_mean(MEAN, COVARIANCE, x, at[time].signal, at[time].noise)

    drawn = sample(denoiser, levels, noise(1), eta=eta, generator=torch.Generator().manual_seed(2))
    assert_drawn_from(drawn, MEAN, COVARIANCE, bias=0.015)


def test_a_hook_that_knows_the_measurement_turns_prior_into_posterior():
    """y = A·x₀ + 0.3·ε: E[x₀ | x_t, y] in place of E[x₀ | x_t], from the same denoiser."""
    measure = torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, -1.0]], dtype=torch.float64)
    measured, deviation = torch.tensor([0.7, -1.5], dtype=torch.float64), 0.3
    within = measure @ COVARIANCE @ measure.T + deviation**2 * torch.eye(2)
    gain = COVARIANCE @ measure.T @ torch.linalg.inv(within)
    mean, covariance = MEAN + gain @ (measured - measure @ MEAN), COVARIANCE - gain @ measure @ COVARIANCE

    def correct(number, clean):
        here = FLOW[number - 1]
        left = torch.linalg.inv(torch.linalg.inv(COVARIANCE) + (here.signal / here.noise) ** 2 * torch.eye(SIZE))
        of_measured = left @ measure.T @ torch.linalg.inv(measure @ left @ measure.T + deviation**2 * torch.eye(2))
        return clean + (measured - clean @ measure.T) @ of_measured.T

    def denoiser(x, time):
        return posterior_mean(MEAN, COVARIANCE, x, 1 - time, time)

    drawn = sample(denoiser, FLOW, noise(3), correct, eta=1.0, generator=torch.Generator().manual_seed(4))
    assert_drawn_from(drawn, mean, covariance, bias=0.015)


def test_a_stochastic_step_is_the_forward_process_conditioned_on_both_ends():
    here, there = Level(0.8, 0.5, 0.9), Level(0.3, 0.8, 0.4)
    x, clean = torch.full((COUNT, 1), 1.3, dtype=torch.float64), torch.full((COUNT, 1), -0.4, dtype=torch.float64)
    ratio = here.signal / there.signal  # x_here = ratio·x_there + ε of what is left of its variance
    of_there, of_both = there.noise**2, ratio * there.noise**2
    mean = there.signal * -0.4 + of_both / here.noise**2 * (1.3 - here.signal * -0.4)
    variance = of_there - of_both**2 / here.noise**2
    drawn = step(x, clean, here, there, 1.0, torch.Generator().manual_seed(5))
    assert_drawn_from(drawn, torch.tensor([mean]), torch.tensor([[variance]]))
