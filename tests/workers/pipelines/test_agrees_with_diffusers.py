"""An adapter's rows against diffusers' own `pipeline(...)`: same prompt, same seed, same latents and pixels."""

from __future__ import annotations

import diffusers
import numpy as np
import pytest
import torch

from core.errors import WeightsDamaged
from core.families import Model
from tests.workers.toys import SCHEDULERS, make_order
from workers.pipelines import load_adapter
from workers.pipelines.base import Batch, Start


def run(adapter, order, start=None, guidance=None):
    """A request alone: its latents after every step, and its row."""
    row = adapter.prepare(order, start or Start(order.steps), order.guidance if guidance is None else guidance)
    latents = row.latent[None].clone()
    batch = Batch(
        [row],
        latents,
        {name: value[None] for name, value in row.conditioning.items()},
        {name: value[None] for name, value in (row.negative or {}).items()},
    )
    seen = [latents[0].clone()]
    while not row.walk.done:
        adapter.advance(batch, adapter.denoise(batch))
        seen.append(latents[0].clone())
    return seen, row


def theirs(adapter, order, **changes):
    """The same by the pipeline's own call, with the adapter's scheduler."""
    pipe = adapter.pipe
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = type(adapter.scheduler).from_config(adapter.scheduler.config)
    if "flux" not in type(pipe).__name__.lower():
        changes.setdefault("negative_prompt", order.negative_prompt or None)
    return pipe(
        order.prompt,
        num_inference_steps=order.steps,
        guidance_scale=order.guidance,
        width=order.width,
        height=order.height,
        generator=torch.Generator().manual_seed(order.seed),
        **changes,
    ).images[0]


@pytest.mark.parametrize("architecture", ["sd15", "sdxl", "sd3", "flux"])
@pytest.mark.parametrize("guidance", [1.0, 4.5])
def test_every_family_draws_what_its_diffusers_pipeline_draws(toys, architecture, guidance):
    adapter = toys.adapter(architecture)
    order = make_order(guidance=guidance, steps=5)
    seen, row = run(adapter, order)
    expected = theirs(adapter, order, output_type="latent")
    assert (seen[-1] - expected).abs().max() < 2e-5 * expected.abs().max()  # diffusers steps in float32
    image = np.asarray(adapter.decode(seen[-1], row.size)).astype(int)
    assert np.abs(image - np.asarray(theirs(adapter, order))).max() <= 1


@pytest.mark.parametrize("scheduler", sorted(SCHEDULERS))
def test_every_safe_sampler_walks_as_diffusers_walks(toys, scheduler):
    adapter = toys.adapter("sd15", scheduler)
    order = make_order(steps=6)
    seen, _ = run(adapter, order)
    eta = {"eta": 0.3} if scheduler == "tcd" else {}  # TCD's own default; the pipeline's is 0
    expected = theirs(adapter, order, output_type="latent", **eta)
    assert (seen[-1] - expected).abs().max() < 2e-5 * expected.abs().max()


def test_an_empty_negative_prompt_is_zeroed_where_sdxl_wants_it(toys):
    adapter = toys.adapter("sdxl")
    order = make_order(negative_prompt="")
    seen, row = run(adapter, order)
    assert row.negative["states"].abs().max() == 0
    assert (seen[-1] - theirs(adapter, order, output_type="latent")).abs().max() < 1e-4


@pytest.mark.parametrize("scheduler", ["ddim", "euler", "euler-karras", "heun", "kdpm2"])
@pytest.mark.parametrize("k", [1, 3])
def test_a_run_resumed_at_k_ends_as_the_uninterrupted_one(toys, scheduler, k):
    adapter = toys.adapter("sd15", scheduler)
    order = make_order(steps=6)
    seen, _ = run(adapter, order)
    resumed, row = run(adapter, order, Start(6, k, seen[k * adapter.scheduler.order]))
    assert (resumed[-1] - seen[-1]).abs().max() < 1e-9
    assert row.walk.step_of_schedule == 6


@pytest.mark.parametrize("architecture", ["sd3", "flux"])
def test_flow_matching_resumes_exactly_too(toys, architecture):
    adapter = toys.adapter(architecture)
    order = make_order(steps=6)
    seen, _ = run(adapter, order)
    resumed, _ = run(adapter, order, Start(6, 2, seen[2]))
    assert (resumed[-1] - seen[-1]).abs().max() < 1e-9


@pytest.mark.parametrize("architecture", ["sd15", "flux"])
def test_a_finished_latent_is_noised_to_level_k_as_the_model_was_trained(toys, architecture):
    adapter = toys.adapter(architecture)
    order = make_order(steps=6)
    seen, _ = run(adapter, order)
    row = adapter.prepare(order, Start(6, 5, seen[-1], clean=True), 3.5)
    level = float(row.walk.table.levels[0])
    fresh = adapter.prepare(order, Start(6), 3.5)
    noise = fresh.latent / fresh.walk.noise
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


def test_shortening_a_walk_keeps_to_the_noise_levels_ahead(toys):
    for scheduler in ("ddim", "euler"):
        adapter = toys.adapter("sd15", scheduler)
        row = adapter.prepare(make_order(steps=12), Start(12), 1.0)
        row.walk.index = 3
        here = row.walk.time
        assert row.walk.shorten(5)
        assert row.walk.time == here
        assert (row.walk.table.times.diff() < 0).all()
        assert row.walk.left < 9
        assert not row.walk.shorten(40)


def test_a_distilled_unet_gets_guidance_as_an_input_and_runs_one_half(tmp_path):
    from workers.pipelines.random_weights import random_family

    family = random_family("sd15", tmp_path, toy=True, scheduler=SCHEDULERS["lcm"](), time_cond_proj_dim=8)
    adapter = load_adapter(family.models["random"], "cpu", torch.float64)
    order = make_order(guidance=4.0, negative_prompt="")
    seen, row = run(adapter, order)
    assert row.negative is None
    assert (seen[-1] - theirs(adapter, order, output_type="latent")).abs().max() < 1e-4


def test_half_precision_on_the_cpu_is_that_of_products_alone(toys):
    model = toys.family("sd15").models["random"]
    full, half = (load_adapter(model, "cpu", dtype) for dtype in (torch.float32, torch.bfloat16))
    order = make_order(steps=4)
    (exact, _), (near, row) = run(full, order), run(half, order)
    assert row.latent.dtype == near[-1].dtype == torch.float32
    assert next(half.net.parameters()).dtype == torch.float32
    difference = (near[-1] - exact[-1]).norm() / exact[-1].norm()
    assert 0 < difference < 0.02
