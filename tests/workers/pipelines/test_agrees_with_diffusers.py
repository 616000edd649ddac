"""An adapter's rows against diffusers' own `pipeline(...)`: same prompt, same seed, same latents and pixels."""

from __future__ import annotations

import diffusers
import numpy as np
import pytest
import torch

from core.errors import WeightsDamaged
from core.families import Model
from tests.workers.toys import SCHEDULERS, make_request
from workers.pipelines import load_adapter
from workers.pipelines.rows import Batch, Start


def run(adapter, request, start=None, guidance=None):
    """A request alone: its latents after every step, and its row."""
    row = adapter.prepare(request, start or Start(request.steps), request.guidance if guidance is None else guidance)
    batch = Batch.of([row])
    latents = batch.latents
    seen = [latents[0].clone()]
    while not row.sampler.done:
        adapter.advance(batch, adapter.denoise(batch))
        seen.append(latents[0].clone())
    return seen, row


def theirs(adapter, request, **changes):
    """The same by the pipeline's own call, with the adapter's scheduler."""
    pipe = adapter.pipe
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = type(adapter.scheduler).from_config(adapter.scheduler.config)
    if "flux" not in type(pipe).__name__.lower():
        changes.setdefault("negative_prompt", request.negative_prompt or None)
    if "pixart" in type(pipe).__name__.lower():
        changes |= {"use_resolution_binning": False, "clean_caption": False}
        pipe.transformer.register_to_config(sample_size=128)  # by which it tells models that are told the size
    return pipe(
        request.prompt,
        num_inference_steps=request.steps,
        guidance_scale=request.guidance,
        width=request.width,
        height=request.height,
        generator=torch.Generator().manual_seed(request.seed),
        **changes,
    ).images[0]


@pytest.mark.parametrize("architecture", ["sd15", "sdxl", "sd3", "flux", "pixart-alpha", "pixart-sigma"])
@pytest.mark.parametrize("guidance", [1.0, 4.5])
def test_every_family_draws_what_its_diffusers_pipeline_draws(toys, architecture, guidance):
    adapter = toys.adapter(architecture)
    request = make_request(guidance=guidance, steps=5)
    seen, row = run(adapter, request)
    expected = theirs(adapter, request, output_type="latent")
    assert (seen[-1] - expected).abs().max() < 2e-5 * expected.abs().max()  # diffusers steps in float32
    image = np.asarray(adapter.decode(seen[-1], row.size)).astype(int)
    assert np.abs(image - np.asarray(theirs(adapter, request))).max() <= 1


def test_pixart_alpha_is_told_the_size_height_first(toys):
    adapter = toys.adapter("pixart-alpha")
    request = make_request(width=96, steps=3)
    seen, _ = run(adapter, request)
    expected = theirs(adapter, request, output_type="latent")
    assert (seen[-1] - expected).abs().max() < 2e-5 * expected.abs().max()
    batch = Batch.of([adapter.prepare(request, Start(3), 1.0)])
    told = adapter.denoise(batch)
    batch.conditioning["aspect_ratio"].reciprocal_()
    assert (adapter.denoise(batch) - told).abs().max() > 1e-6


@pytest.mark.parametrize("scheduler", sorted(SCHEDULERS))
def test_every_safe_sampler_steps_as_diffusers_steps(toys, scheduler):
    adapter = toys.adapter("sd15", scheduler)
    request = make_request(steps=6)
    seen, _ = run(adapter, request)
    eta = {"eta": 0.3} if scheduler == "tcd" else {}  # TCD's own default; the pipeline's is 0
    expected = theirs(adapter, request, output_type="latent", **eta)
    assert (seen[-1] - expected).abs().max() < 2e-5 * expected.abs().max()


def test_an_empty_negative_prompt_is_zeroed_where_sdxl_wants_it(toys):
    adapter = toys.adapter("sdxl")
    request = make_request(negative_prompt="")
    seen, row = run(adapter, request)
    assert row.negative["states"].abs().max() == 0
    assert (seen[-1] - theirs(adapter, request, output_type="latent")).abs().max() < 1e-4


@pytest.mark.parametrize("scheduler", ["ddim", "euler", "euler-karras", "heun", "kdpm2"])
@pytest.mark.parametrize("k", [1, 3])
def test_a_run_resumed_at_k_ends_as_the_uninterrupted_one(toys, scheduler, k):
    adapter = toys.adapter("sd15", scheduler)
    request = make_request(steps=6)
    seen, _ = run(adapter, request)
    resumed, row = run(adapter, request, Start(6, k, seen[k * adapter.scheduler.order]))
    assert (resumed[-1] - seen[-1]).abs().max() < 1e-9
    assert row.sampler.steps_done == 6


@pytest.mark.parametrize("architecture", ["sd3", "flux"])
def test_flow_matching_resumes_exactly_too(toys, architecture):
    adapter = toys.adapter(architecture)
    request = make_request(steps=6)
    seen, _ = run(adapter, request)
    resumed, _ = run(adapter, request, Start(6, 2, seen[2]))
    assert (resumed[-1] - seen[-1]).abs().max() < 1e-9


@pytest.mark.parametrize("architecture", ["sd15", "flux"])
def test_a_finished_latent_is_noised_to_level_k_as_the_model_was_trained(toys, architecture):
    adapter = toys.adapter(architecture)
    request = make_request(steps=6)
    seen, _ = run(adapter, request)
    row = adapter.prepare(request, Start(6, 5, seen[-1], clean=True), 3.5)
    level = float(row.sampler.table.noise_levels[0])
    fresh = adapter.prepare(request, Start(6), 3.5)
    noise = fresh.latent / fresh.sampler.noise_scale
    mixed = (1 - level) * seen[-1] + level * noise if architecture == "flux" else seen[-1] + level * noise
    assert torch.allclose(row.latent, mixed, atol=1e-5)


def test_pndm_is_swapped_for_a_sampler_that_can_share_batches_with_a_log_line(toys, caplog):
    family = toys.family("sd15")
    adapter = load_adapter(family.models["random"], "cpu", torch.float64)
    assert isinstance(adapter.scheduler, diffusers.EulerDiscreteScheduler)
    assert "PNDMScheduler is not safe for shared batches: using EulerDiscreteScheduler" in caplog.text


def test_a_family_file_can_name_another_sampler(toys):
    model = toys.family("sd15").models["random"].model_copy(update={"scheduler": "DDIMScheduler"})
    assert isinstance(load_adapter(model, "cpu", torch.float64).scheduler, diffusers.DDIMScheduler)


def test_a_model_that_is_not_there_is_refused_with_a_message_that_says_what_to_do(tmp_path):
    model = Model(id="gone", pipeline="stable-diffusion", path=str(tmp_path / "nothing"))
    with pytest.raises(WeightsDamaged, match="local folder or a Hugging Face name"):
        load_adapter(model, "cpu", torch.float32)


def test_shortening_a_schedule_keeps_to_the_noise_levels_ahead(toys):
    for scheduler in ("ddim", "euler"):
        adapter = toys.adapter("sd15", scheduler)
        row = adapter.prepare(make_request(steps=12), Start(12), 1.0)
        row.sampler.index = 3
        here = row.sampler.time
        assert row.sampler.shorten(5)
        assert row.sampler.time == here
        assert (row.sampler.table.times.diff() < 0).all()
        assert row.sampler.remaining < 9
        assert not row.sampler.shorten(40)


def test_a_distilled_unet_gets_guidance_as_an_input_and_runs_one_half(tmp_path):
    from workers.pipelines.random_weights import random_family

    family = random_family("sd15", tmp_path, toy=True, scheduler=SCHEDULERS["lcm"](), time_cond_proj_dim=8)
    adapter = load_adapter(family.models["random"], "cpu", torch.float64)
    request = make_request(guidance=4.0, negative_prompt="")
    seen, row = run(adapter, request)
    assert row.negative is None
    assert (seen[-1] - theirs(adapter, request, output_type="latent")).abs().max() < 1e-4


def test_half_precision_on_the_cpu_is_that_of_products_alone(toys):
    model = toys.family("sd15").models["random"]
    full, half = (load_adapter(model, "cpu", dtype) for dtype in (torch.float32, torch.bfloat16))
    request = make_request(steps=4)
    (exact, _), (near, row) = run(full, request), run(half, request)
    assert row.latent.dtype == near[-1].dtype == torch.float32
    assert next(half.net.parameters()).dtype == torch.float32
    difference = (near[-1] - exact[-1]).norm() / exact[-1].norm()
    assert 0 < difference < 0.02
