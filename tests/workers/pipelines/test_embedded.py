"""The embedded family's adapter, on members of toy width saved as the recipe saves them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.families import load_family
from core.levels import Level
from families.embedded.model import load_member
from tests.workers.toys import make_request
from workers.engine.engine import Engine
from workers.pipelines import load_adapter
from workers.pipelines.rows import Batch, Start
from workers.scoring import load_scorer


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


SIDE = 128  # pixels, the smaller native size


def shipped(**changes):
    """A request of the members that ship."""
    return make_request(**{"width": SIDE, "height": SIDE, "guidance": 2.0, "negative_prompt": "", **changes})


def test_rows_of_the_shipped_transformer_are_the_same_alone_and_among_others():
    family = load_family("embedded")
    level = Level(id="exact", strategy="exact", model="dit")
    engine = Engine(family.model_copy(update={"levels": {"exact": level}}), dtype=torch.float64, threaded=False)
    asked = [("a fox", 3, 2.0), ("two owls in the snow", 5, 2.0), ("a red heart above a chair", 4, 1.0)]

    def latents(*which):
        shown = {number: {} for number in which}
        for number in which:
            prompt, steps, guidance = asked[number]
            hook = lambda step, clean, number=number: shown[number].update({step: clean.clone()})  # noqa: E731
            engine.submit(shipped(prompt=prompt, level=level, steps=steps, guidance=guidance, on_x0=hook))
        while engine.step():
            pass
        return shown

    fused = latents(0, 1, 2)
    for number, (_, steps, _) in enumerate(asked):
        alone = latents(number)[number]
        assert list(alone) == list(range(1, steps + 1))
        assert max((alone[step] - fused[number][step]).abs().max() for step in alone) <= 1e-9


def test_the_shipped_transformer_continues_what_another_member_drew():
    """They share a latent space (MoDM's way): half of the steps keep the picture, though the seed is another."""
    family = load_family("embedded")
    large, dit = (load_adapter(family.models[name], "cpu", torch.float32) for name in ("large", "dit"))
    prompt = "two owls in the snow"
    theirs = _drawn(large, prompt, 1, Start(12))
    continued, afresh = (_drawn(dit, prompt, 2, start) for start in (Start(12, 6, theirs, clean=True), Start(12)))
    assert (continued - theirs).norm() < 0.75 * (afresh - theirs).norm()
    images = [adapter.decode(latent, (SIDE, SIDE)) for adapter, latent in ((large, theirs), (dit, continued))]
    before, after = load_scorer(family).score(images, [prompt] * 2)
    assert after > 0.97 * before > 1.9


def _drawn(adapter, prompt, seed, start):
    row = adapter.prepare(shipped(prompt=prompt, seed=seed), start, 2.0)
    batch = Batch.of([row])
    while not row.sampler.done:
        adapter.advance(batch, adapter.denoise(batch))
    return batch.latents[0]
