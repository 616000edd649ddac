"""Kinds with samplers of their own in the engine: they draw what they draw by themselves, and leave others alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from core.errors import ArgusError
from core.fidelity import luminance
from core.operators import Blur, Down, Mask, Operator
from tests.workers.toy_engine import ToyEngine
from workers.kinds.diffusion import Level
from workers.kinds.fusion import Fusion
from workers.kinds.p2l import SHORT, Prior, restore
from workers.kinds.restoration import Restoration
from workers.parallel.way import Way
from workers.pipelines.clean_latent import noised_weights
from workers.pipelines.noise import generator_of
from workers.pipelines.source import pixels_of

STEPS = 4
KNOWN = np.ones((64, 64), bool)
KNOWN[20:40, 20:40] = False
OPERATORS = [Down(factor=4), Blur(sigma=1.5, size=9), Mask(known=KNOWN)]


@pytest.fixture
def toy(toys) -> ToyEngine:
    torch.set_num_threads(1)
    usual = {"steps": STEPS, "guidance": 1.0, "prompt": "a red fox", "width": 64, "height": 64}
    return ToyEngine(toys.member("unet"), **usual)


def picture(side: int = 64, seed: int = 3) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))


def measured_by(operator: Operator) -> Image.Image:
    return picture(16 if isinstance(operator, Down) else 64)


def by_itself(toy: ToyEngine, operator: Operator, measured: Image.Image, seed: int) -> torch.Tensor:
    """The final latent of the same request by P2L's own loop on the member's weights."""
    member, adapter = toy.adapter.member, toy.adapter
    decoded: list[torch.Tensor] = []
    states, mask = member.text.tokens(["a red fox"])
    mask = mask.to(torch.float64)

    def clean(latents, time, text):
        return member.clean(latents, time / 1000, text, mask)

    def decode(latents):
        decoded.append(latents)
        return member.codec.draw(latents)

    prior = Prior(clean, member.codec.encode, decode)
    scheduler = member.new_scheduler()
    scheduler.set_timesteps(STEPS)
    pairs = zip(scheduler.timesteps.tolist(), scheduler.sigmas.tolist(), strict=False)
    levels = [Level(time, *noised_weights(scheduler, sigma)) for time, sigma in pairs] + [Level(0.0, 1.0, 0.0)]
    generator = generator_of(seed)
    noise = torch.randn((1, *member.codec.latent_shape_of(64)), generator=generator, dtype=adapter.state_dtype)
    pixels = operator.known_of(pixels_of(measured, measured.size)).double()
    text = states.to(torch.float64)
    with torch.inference_mode(False), torch.enable_grad():
        restore(prior, operator, pixels, text.clone(), levels, noise, SHORT, generator)
    return decoded[-1][0]


@pytest.mark.parametrize("operator", OPERATORS, ids=["down", "blur", "mask"])
def test_a_restoration_in_the_engine_is_p2l_by_itself_and_its_record_names_no_mode(toy, operator):
    measured = measured_by(operator)
    future, running = toy.submit("restored", seed=7, kind=Restoration(operator, measured))
    beside = [toy.submit(f"beside {n}", seed=n)[0] for n in range(2)]
    toy.run()
    result = future.result(0)
    torch.testing.assert_close(running.row.latent, by_itself(toy, operator, measured, 7), rtol=1e-7, atol=1e-7)
    assert (result.steps_run, result.batch_max, result.parallel, result.reason) == (STEPS, 1, None, None)
    alone = ToyEngine(toy.family, **toy.usual)
    for n, one in enumerate(beside):
        own, _ = alone.submit(f"alone {n}", seed=n)
        alone.run()
        assert own.result(0).image.tobytes() == one.result(0).image.tobytes()


def test_what_is_restored_fits_its_measurement_better_than_what_was_drawn(toy):
    operator = OPERATORS[0]
    measured = measured_by(operator)
    results = {}
    for name, kind in (("restored", Restoration(operator, measured)), ("drawn", None)):
        future, _ = toy.submit(name, seed=7, kind=kind)
        toy.run()
        pixels = pixels_of(future.result(0).image, (64, 64))
        results[name] = float(operator.misfit(pixels, pixels_of(measured, measured.size)))
    assert results["restored"] < 0.2 * results["drawn"]


def test_a_restoration_that_cannot_take_its_turn_fails_by_itself_and_is_not_drawn_otherwise(toy, monkeypatch):
    monkeypatch.setattr(toy.adapter, "image_of", lambda *_: (_ for _ in ()).throw(RuntimeError("no decoder")))
    future, _ = toy.submit("restored", kind=Restoration(OPERATORS[0], measured_by(OPERATORS[0])))
    beside, _ = toy.submit("beside", seed=5)
    toy.run()
    with pytest.raises(ArgusError, match="no decoder"):
        future.result(0)
    assert beside.result(0).steps_run == STEPS


def test_a_fusion_shares_forwards_and_has_the_colours_of_the_visible(toy):
    visible, infrared = picture(), picture(seed=4).convert("L").convert("RGB")
    future, _ = toy.submit("fused", kind=Fusion(visible, infrared))
    beside, _ = toy.submit("beside", seed=5)
    toy.run()
    result = future.result(0)
    assert (result.batch_max, beside.result(0).batch_max) == (2, 2)
    colours = [np.asarray(one.convert("YCbCr"), dtype=int)[..., 1:] for one in (result.image, visible)]
    inside = np.asarray(result.image).min(-1).clip(1) * (np.asarray(result.image).max(-1) < 255) > 1
    assert np.abs(colours[0] - colours[1])[inside].max() <= 2, "where no channel is at its end"
    assert result.image.tobytes() != visible.tobytes()


def test_the_fused_luminance_lies_between_its_sources(toy):
    visible, infrared = picture(), picture(seed=4).convert("L").convert("RGB")
    kind = Fusion(visible, infrared)
    future, _ = toy.submit("fused", kind=kind)
    toy.run()
    future.result(0)
    sources = [luminance(pixels_of(one, one.size)) for one in (visible, infrared)]
    fused = luminance(kind._fusing.picture)
    inside = (fused > torch.minimum(*sources) - 0.2) & (fused < torch.maximum(*sources) + 0.2)
    assert inside.double().mean() > 0.9


@pytest.mark.parametrize("made", ["restored", "fused"])
def test_the_cache_of_latents_keeps_nothing_of_a_kind_of_its_own(toy, made):
    grey = picture(seed=4).convert("L").convert("RGB")
    kinds = {"restored": Restoration(OPERATORS[0], measured_by(OPERATORS[0])), "fused": Fusion(picture(), grey)}
    asked: list[str] = []

    class Cache:
        def depths(self, *about):
            asked.append("depths")
            return frozenset({1, 2})

    toy.engine._loop._preparation.cache = Cache()
    _, plain = toy.submit("plain", seed=5)
    assert (asked, plain.store_at) == (["depths"], {1, 2})
    _, running = toy.submit(made, kind=kinds[made])
    assert running.store_at == frozenset(), "a later image would begin with what is not of its prompt"


def test_a_required_way_is_no_parallel_mode(toy):
    way = Way("restoration", required=True)
    _, running = toy.submit("way", way=way)
    assert running.parallel.record() is None
