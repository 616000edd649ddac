"""The clean latent that a prediction stands for, against noise that was added and against diffusers' own answers."""

from __future__ import annotations

import copy

import diffusers
import pytest
import torch

from families.embedded.model import FlowMatchEulerDiscreteScheduler
from tests.workers.toys import SCHEDULERS
from workers.pipelines.random_weights import BETAS
from workers.pipelines.samplers import SamplerState

FLOW = {
    "flow": FlowMatchEulerDiscreteScheduler,
    "flow dpm++": lambda: diffusers.DPMSolverMultistepScheduler(
        use_flow_sigmas=True, prediction_type="flow_prediction", **BETAS
    ),
}
VELOCITY = {
    "ddim v": lambda: diffusers.DDIMScheduler(clip_sample=False, prediction_type="v_prediction", **BETAS),
    "euler v": lambda: diffusers.EulerDiscreteScheduler(prediction_type="v_prediction", **BETAS),
    "dpm++ v": lambda: diffusers.DPMSolverMultistepScheduler(prediction_type="v_prediction", **BETAS),
}


def pair():
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(3, 4, 4, generator=generator, dtype=torch.float64) for _ in range(2)]


def said(sampler, latent, prediction):
    of_latent, of_prediction = sampler.clean_weights()
    return of_latent * latent + of_prediction * prediction


@pytest.mark.parametrize("name", sorted(SCHEDULERS))
@pytest.mark.parametrize("begin", [0, 3, 7])
def test_of_a_latent_made_by_adding_noise_the_noise_says_what_it_was_made_from(name, begin):
    clean, noise = pair()
    sampler = SamplerState(SCHEDULERS[name](), 8, begin)
    latent = sampler.add_noise(clean, noise)
    assert (said(sampler, latent, noise) - clean).abs().max() < 1e-4 * latent.abs().max()


@pytest.mark.parametrize("name", sorted(FLOW))
@pytest.mark.parametrize("begin", [0, 3, 7])
def test_of_a_flow_the_velocity_says_what_it_leads_to(name, begin):
    clean, noise = pair()
    sampler = SamplerState(FLOW[name](), 8, begin)
    latent = sampler.add_noise(clean, noise)
    assert (said(sampler, latent, noise - clean) - clean).abs().max() < 1e-5


@pytest.mark.parametrize("name", sorted(VELOCITY))
def test_where_the_model_predicts_v_as_where_it_predicts_noise(name):
    clean, noise = pair()
    sampler = SamplerState(VELOCITY[name](), 8, 3)
    latent = sampler.add_noise(clean, noise)
    ddpm = diffusers.DDPMScheduler(**BETAS)
    v = ddpm.get_velocity(clean[None], noise[None], sampler.time.round().long()[None])[0]
    assert (said(sampler, latent, v) - clean).abs().max() < 1e-2  # Euler's times lie between two of the training's


@pytest.mark.parametrize("name", ["ddim", "euler", "euler-a", "ddpm", "heun", "kdpm2"])
def test_it_is_what_diffusers_itself_reports_at_each_step(name):
    latent, _ = pair()
    sampler = SamplerState(SCHEDULERS[name](), 6, generator=torch.Generator().manual_seed(1))
    scheduler, step = copy.deepcopy(SCHEDULERS[name]()), 0
    scheduler.set_timesteps(6)
    for time in scheduler.timesteps:
        scaled = scheduler.scale_model_input(latent, time) if hasattr(scheduler, "scale_model_input") else latent
        prediction = scaled.sin()
        weights = sampler.clean_weights()
        own = said(sampler, latent, prediction) if weights else None
        out = scheduler.step(prediction, time, latent)
        if own is not None:
            step += 1
            assert (own - out.pred_original_sample).abs().max() < 1e-4 * out.pred_original_sample.abs().max()
        if not sampler.linear:
            sampler.step(prediction, latent)
        sampler.index += 1
        latent = out.prev_sample
    assert step == 6
