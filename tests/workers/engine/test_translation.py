"""Requests that translate a picture along the family's bridge, in the engine: what DBIM draws by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from core.families import load_family
from families.embedded.bridge import denoiser, load_bridge, sketch
from families.embedded.model import WEIGHTS, load_member
from families.embedded.sample import pictures
from tests.workers.toys import make_request
from workers.engine.engine import Engine
from workers.kinds.bridges import VariancePreserving
from workers.kinds.ddbm import dbim, dbim_times
from workers.kinds.translation import Translation
from workers.pipelines.noise import generator_of
from workers.pipelines.source import image_from, pixels_of

PROMPT, SEED, STEPS, GUIDANCE = "a red apple on a green background", 7, 4, 1.5


def scene() -> np.ndarray:
    """A picture that the family drew, (128, 128, 3)."""
    return pictures(load_member(WEIGHTS / "turbo"), [PROMPT], [SEED], 1, 1.0, 128)[0]


@pytest.fixture(scope="module")
def engine() -> Engine:
    torch.set_num_threads(1)
    engine = Engine(load_family("embedded"), dtype=torch.float32, threaded=False)
    engine.load("large")
    return engine


@pytest.fixture(scope="module")
def drawing() -> Image.Image:
    """A sketch of a picture that the family drew."""
    picture = Image.fromarray(scene())
    return image_from(sketch(pixels_of(picture, picture.size)))


def drawn(engine: Engine, source: Image.Image, steps: int) -> tuple[object, torch.Tensor]:
    family = load_family("embedded")
    kind = Translation(source, str(WEIGHTS / "bridge"))
    asked = make_request(
        request_id=f"translated {steps}", level=family.level("exact"), prompt=PROMPT, seed=SEED, steps=steps,
        guidance=GUIDANCE, width=128, height=128, kind=kind,
    )  # fmt: skip
    future = engine.submit(asked)
    running = engine.find(asked.request_id)
    while engine.step():
        pass
    return future.result(0), running.row.latent


def test_a_translation_in_the_engine_is_dbim_by_itself(engine, drawing):
    result, latent = drawn(engine, drawing, STEPS)
    member, bridge, noise = load_bridge(), VariancePreserving(), generator_of(SEED)
    torch.randn((1, *member.codec.latent_shape_of(128)), generator=noise)  # what rows begin with
    with torch.inference_mode():
        source = member.codec.encode(pixels_of(drawing, (128, 128)))
        predict = denoiser(member, bridge, member.text.tokens([PROMPT]), GUIDANCE)
        wanted = dbim(predict, bridge, source, dbim_times(bridge, STEPS - 1), generator=noise)[0]
    torch.testing.assert_close(latent, wanted, rtol=1e-3, atol=1e-3)
    assert (result.steps_run, result.parallel, result.guidance) == (STEPS, None, GUIDANCE)


def test_what_is_translated_is_nearer_to_the_scene_than_its_sketch(engine, drawing):
    result, _ = drawn(engine, drawing, 6)
    off = [float(np.square(np.asarray(one, dtype=float) - scene()).mean()) for one in (result.image, drawing)]
    assert off[0] < 0.4 * off[1]


def test_one_denoising_is_a_picture_too(engine, drawing):
    result, latent = drawn(engine, drawing, 1)
    assert result.steps_run == 1
    assert bool(torch.isfinite(latent).all())
