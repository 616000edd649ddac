"""The same seed draws the same picture in every dtype: noise, noise levels and latents are always float32."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.workers.toys import make_request
from workers.pipelines import load_adapter
from workers.pipelines.rows import Batch, Start

ARCHITECTURES = ["sd15", "sdxl", "sd3", "flux", "pixart-alpha", "pixart-sigma"]
LEAST_DB = 45.0


def adapters(toys, architecture):
    """Weights in float32 and, as on CUDA, in bfloat16."""
    model = toys.family(architecture).models["random"]
    return [load_adapter(model, "cpu", dtype, autocast=False) for dtype in (torch.float32, torch.bfloat16)]


def picture(adapter, request):
    row = adapter.prepare(request, Start(request.steps), request.guidance)
    batch = Batch.of([row])
    while not row.sampler.done:
        adapter.advance(batch, adapter.denoise(batch))
    assert batch.latents.dtype == torch.float32
    return np.asarray(adapter.decode(batch.latents[0], row.size)).astype(float)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_noise_does_not_depend_on_the_weights_dtype(toys, architecture):
    full, half = adapters(toys, architecture)
    assert next(half.net.parameters()).dtype == torch.bfloat16
    one, other = (adapter.place(make_request(), Start(8)).latent for adapter in (full, half))
    assert one.dtype == other.dtype == torch.float32
    assert torch.equal(one, other)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_half_precision_weights_draw_the_picture_of_float32(toys, architecture):
    request = make_request(steps=8, guidance=3.0)
    full, half = (picture(adapter, request) for adapter in adapters(toys, architecture))
    error = ((full - half) ** 2).mean()
    assert 10 * np.log10(255**2 / max(error, 1e-9)) >= LEAST_DB


@pytest.mark.parametrize("kind", ["unet", "dit"])
def test_the_embedded_family_too(toys, kind):
    model = toys.member(kind).models["large"]
    request = make_request(steps=8, guidance=2.0)
    full, half = (
        picture(load_adapter(model, "cpu", dtype, autocast=False), request) for dtype in (torch.float32, torch.bfloat16)
    )
    error = ((full - half) ** 2).mean()
    assert 10 * np.log10(255**2 / max(error, 1e-9)) >= LEAST_DB


@pytest.mark.parametrize("architecture", ["sd15", "sdxl", "sd3"])
def test_a_negative_prompt_is_encoded_once(toys, architecture):
    adapter = load_adapter(toys.family(architecture).models["random"], "cpu", torch.float32)
    encoded, encode = [], adapter.encode_prompt
    adapter.encode_prompt = lambda prompt: encoded.append(prompt) or encode(prompt)
    for prompt in ("a fox", "an owl", "a bear"):
        adapter.encode(make_request(prompt, negative_prompt="blur"), 5.0)
    assert encoded == ["a fox", "blur", "an owl", "a bear"]


def test_guided_and_plain_rows_share_a_forward_in_any_order(toys):
    adapter = load_adapter(toys.family("sd15").models["random"], "cpu", torch.float64)
    guidances = (5.0, 1.0, 2.0)
    rows = [adapter.prepare(make_request(seed=n), Start(4), g) for n, g in enumerate(guidances)]
    negative = {name: torch.stack([(row.negative or row.conditioning)[name] for row in rows]) for name in ("states",)}
    plain = Batch.of([rows[1], rows[1], rows[1]])
    mixed = Batch(rows, torch.stack([row.latent for row in rows]), Batch.of(rows[:1] * 3).conditioning, negative)
    mixed.conditioning["states"].copy_(torch.stack([row.conditioning["states"] for row in rows]))
    together = adapter.denoise(mixed)
    assert plain.guided == []
    for index, row in enumerate(rows):
        assert (together[index] - adapter.denoise(Batch.of([row]))[0]).abs().max() < 1e-12


@pytest.mark.parametrize("architecture", ["sd15", "flux"])
def test_decoding_in_tiles_is_for_the_while_that_it_is_asked_for(toys, architecture):
    adapter = load_adapter(toys.family(architecture).models["random"], "cpu", torch.float32)
    row = adapter.prepare(make_request(width=128, height=128), Start(2), 1.0)
    whole = np.asarray(adapter.decode(row.latent, row.size)).astype(float)
    adapter.tile = 64
    tiled = np.asarray(adapter.decode(row.latent, row.size, tiled=True)).astype(float)
    assert tiled.shape == whole.shape
    assert np.abs(tiled - whole).mean() > 0, "tiles do not see each other"
    assert (np.asarray(adapter.decode(row.latent, row.size)) == whole).all()
