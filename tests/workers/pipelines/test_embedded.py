"""The embedded family's adapter, on members of toy width saved as the recipe saves them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from families.embedded.model import load_member
from tests.workers.toys import make_request
from workers.engine.engine import Engine
from workers.pipelines import load_adapter
from workers.pipelines.rows import Start


@pytest.mark.parametrize("kind", ["unet", "dit"])
def test_rows_draw_what_the_member_draws_by_itself(toys, kind):
    family = toys.member(kind)
    engine = Engine(family, dtype=torch.float64, threaded=False)
    request = make_request(level=family.level("exact"), steps=5, guidance=2.5, negative_prompt="")
    future = engine.submit(request)
    while engine.step():
        pass
    member = load_member(family.models["large"].path)
    torch.nn.Module.double(member.denoiser)
    torch.nn.Module.double(member.codec)
    expected = by_hand(member, request)
    drawn = np.asarray(future.result(0).image).astype(int)
    assert np.abs(drawn - expected).max() <= 1


def by_hand(member, request):
    """The loop of families/embedded/model.py with guidance, as its author wrote it."""
    generator = torch.Generator().manual_seed(request.seed)
    x = torch.randn((1, *member.codec.latent_shape), generator=generator, dtype=torch.float64)
    halves = [[part.double() for part in member.text.tokens([text])] for text in (request.prompt, "")]
    scheduler = member.new_scheduler()
    scheduler.set_timesteps(request.steps)
    for time in scheduler.timesteps:
        with torch.no_grad():
            given, empty = (member.velocity(x, time / 1000, *half) for half in halves)
        x = scheduler.step(empty + request.guidance * (given - empty), time, x).prev_sample.double()
    return member.codec.decode(x, size=request.width)[0].numpy().astype(int)


def test_a_member_distilled_with_guidance_inside_runs_one_half(toys):
    adapter = load_adapter(toys.member("unet", guided=False).models["large"], "cpu", torch.float64)
    assert adapter.prepare(make_request(), Start(4), 9.0).negative is None


@pytest.mark.parametrize("side", [64, 32])
def test_images_come_in_the_size_that_was_asked(toys, side):
    adapter = toys.adapter("unet")
    row = adapter.prepare(make_request(width=side, height=side), Start(2), 1.0)
    assert adapter.decode(row.latent, row.size).size == (side, side)


@pytest.mark.parametrize("side", [64, 32])
def test_a_member_at_half_size_draws_small_and_its_picture_is_enlarged(toys, side):
    model = toys.member("unet").models["large"].model_copy(update={"pipeline": "embedded-half"})
    adapter = load_adapter(model, "cpu", torch.float64)
    row = adapter.prepare(make_request(width=side, height=side), Start(2), 1.0)
    assert row.latent.shape[-2:] == (2, 2)
    assert adapter.decode(row.latent, row.size).size == (side, side)
