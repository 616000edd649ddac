"""Rows that begin with an image, against diffusers' own image-to-image and inpainting pipelines."""

from __future__ import annotations

from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from core.families import load_family
from tests.workers.pipelines.test_agrees_with_diffusers import run
from tests.workers.toys import make_request
from workers.engine.request import Source
from workers.pipelines import load_adapter
from workers.pipelines.rows import Batch, Start
from workers.pipelines.source import begun_with, latent_mask, pixels_of

IMAGE_TO_IMAGE = {
    "sd15": diffusers.StableDiffusionImg2ImgPipeline,
    "sdxl": diffusers.StableDiffusionXLImg2ImgPipeline,
    "sd3": diffusers.StableDiffusion3Img2ImgPipeline,
    "flux": diffusers.FluxImg2ImgPipeline,
}
INPAINT = {
    "sd15": diffusers.StableDiffusionInpaintPipeline,
    "sdxl": diffusers.StableDiffusionXLInpaintPipeline,
    "sd3": diffusers.StableDiffusion3InpaintPipeline,
    "flux": diffusers.FluxInpaintPipeline,
}


def picture(size: tuple[int, int] = (64, 64)) -> Image.Image:
    rng = np.random.default_rng(3)
    return Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


def hole(size: tuple[int, int] = (64, 64)) -> Image.Image:
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).ellipse((8, 16, 55, 47), fill=255)
    return mask


def ours(adapter: Any, request: Any) -> torch.Tensor:
    seen, _ = run(adapter, request, begun_with(Start(request.steps), request.source, adapter))
    return seen[-1]


def theirs(kind: Any, adapter: Any, request: Any, **more: Any) -> torch.Tensor:
    parts = {name: part for name, part in adapter.pipe.components.items() if name != "safety_checker"}
    extra = {"safety_checker": None, "requires_safety_checker": False} if "vae" in parts and kind in _CHECKED else {}
    pipe = kind(**parts, **extra)
    pipe.set_progress_bar_config(disable=True)
    pipe.vae.register_to_config(force_upcast=False)  # to float32, in which a posterior is drawn otherwise
    pipe.scheduler = type(adapter.scheduler).from_config(adapter.scheduler.config)
    if kind is not diffusers.FluxImg2ImgPipeline:
        more |= {"negative_prompt": request.negative_prompt}
    if "Inpaint" in kind.__name__ or "3" in kind.__name__ or "Flux" in kind.__name__:
        more |= {"width": request.width, "height": request.height}
    return pipe(
        request.prompt,
        image=request.source.image,
        strength=request.source.strength,
        num_inference_steps=request.steps,
        guidance_scale=request.guidance,
        generator=torch.Generator().manual_seed(request.seed),
        output_type="latent",
        **more,
    ).images[0]


_CHECKED = (diffusers.StableDiffusionImg2ImgPipeline, diffusers.StableDiffusionInpaintPipeline)


def same(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """To what diffusers rounds: its samplers step in float32."""
    return bool((found - expected).abs().max() < 2e-5 * expected.abs().max())


@pytest.mark.parametrize("architecture", sorted(IMAGE_TO_IMAGE))
@pytest.mark.parametrize("strength", [0.45, 1.0])
def test_image_to_image_is_that_of_diffusers(toys, architecture, strength):
    adapter = toys.adapter(architecture)
    request = make_request(steps=6, source=Source(picture(), strength))
    assert same(ours(adapter, request), theirs(IMAGE_TO_IMAGE[architecture], adapter, request))


@pytest.mark.parametrize("architecture", sorted(INPAINT))
@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_inpainting_is_that_of_diffusers(toys, architecture, strength):
    adapter = toys.adapter(architecture)
    request = make_request(steps=6, source=Source(picture(), strength, hole()))
    expected = theirs(INPAINT[architecture], adapter, request, mask_image=hole())
    assert same(ours(adapter, request), expected)


@pytest.mark.parametrize("scheduler", ["ddim", "euler", "euler-karras", "euler-a", "ddpm", "dpm++", "unipc"])
def test_inpainting_steps_as_diffusers_with_every_kind_of_sampler(toys, scheduler):
    adapter = toys.adapter("sd15", scheduler)
    request = make_request(steps=6, source=Source(picture(), 0.7, hole()))
    unused = torch.zeros(1, 4, 8, 8)  # of denoisers that are told the masked image: encoding it draws from the seed
    expected = theirs(INPAINT["sd15"], adapter, request, mask_image=hole(), masked_image_latents=unused)
    assert same(ours(adapter, request), expected)


@pytest.mark.parametrize("architecture", ["unet", "dit", "pixart-sigma", "sd15"])
def test_rows_with_a_source_share_forwards_with_others_and_end_as_they_do_alone(toys, architecture):
    adapter = toys.adapter(architecture)
    plain = make_request("plain", steps=4, seed=1)
    image = make_request("image", steps=4, source=Source(picture(), 0.5))
    inpaint = make_request("inpaint", steps=4, source=Source(picture(), 0.75, hole()))
    starts = [Start(4), *(begun_with(Start(4), one.source, adapter) for one in (image, inpaint))]
    alone = [run(adapter, one, start)[0][-1] for one, start in zip((plain, image, inpaint), starts, strict=True)]
    rows = [adapter.prepare(one, start, 3.5) for one, start in zip((plain, image, inpaint), starts, strict=True)]
    batch = Batch.of(rows)
    while not all(row.sampler.done for row in rows):
        running = [i for i, row in enumerate(rows) if not row.sampler.done]
        part = batch.select(running)
        adapter.advance(part, adapter.denoise(part))
        batch.latents[running] = part.latents
    assert (batch.latents - torch.stack(alone)).abs().max() < 1e-9


@pytest.mark.parametrize("architecture", ["unet", "flux", "sd15"])
def test_what_the_mask_keeps_ends_as_the_image_s_own_latent(toys, architecture):
    adapter = toys.adapter(architecture)
    request = make_request(steps=4, source=Source(picture(), 0.8, hole()))
    _, row = run(adapter, request, begun_with(Start(4), request.source, adapter))
    mask = latent_mask(adapter, request, hole())
    assert 0 < mask.mean() < 1
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    (found, *_), _ = run(adapter, request, begun_with(Start(4), request.source, adapter))
    end = ours(adapter, request)
    assert ((end - row.kept.clean) * (1 - mask)).abs().max() == 0
    assert ((end - row.kept.clean) * mask).abs().max() > 1e-3
    assert found.shape == end.shape


def test_the_weaker_the_strength_the_nearer_the_image():
    adapter = load_adapter(load_family("embedded").models["medium"], "cpu", torch.float32)
    drawn = make_request("a red apple", steps=8, width=128, height=128)
    image = adapter.decode(run(adapter, drawn)[0][-1], (128, 128))
    clean, distances = adapter.latent_of(pixels_of(image, (128, 128))), []
    for strength in (0.25, 0.5, 0.75, 1.0):
        source = Source(image, strength)
        changed = make_request("a yellow taxi", steps=8, width=128, height=128, source=source)
        distances.append(float((ours(adapter, changed) - clean).norm()))
    assert distances == sorted(distances)
    assert distances[-1] > 2 * distances[0]


def test_a_schedule_too_short_for_the_strength_is_made_longer_by_as_much_as_it_takes(toys):
    adapter = toys.adapter("unet")
    assert begun_with(Start(1), Source(picture(), 0.5), adapter) == Start(2, 1)
    assert begun_with(Start(1), Source(picture(), 0.3), adapter) == Start(4, 3)
    assert begun_with(Start(1), Source(picture(), 1.0), adapter) == Start(1, 0)
    assert begun_with(Start(4), Source(picture(), 0.5), adapter) == Start(4, 2)


def test_the_image_has_what_the_mask_keeps_pixel_for_pixel(toys):
    drawn = Image.new("RGB", (64, 64), "white")
    pasted = np.asarray(Source(picture(), 1.0, hole()).over(drawn))
    kept, outside = np.asarray(picture()), np.asarray(hole()) == 0
    assert (pasted[outside] == kept[outside]).all()
    assert (pasted[28:36, 28:36] == 255).all()
    assert Source(picture(), 1.0).over(drawn) is drawn
