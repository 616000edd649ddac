"""Requests that begin with an image, in the engine."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from core.errors import Cancelled
from tests.workers.pipelines.test_source import hole, picture
from tests.workers.toy_engine import ToyEngine
from tests.workers.toys import make_request, with_reuse, with_subspace
from workers.engine.engine import Engine
from workers.engine.request import GenerationResult, Source
from workers.latent_cache.cache import LatentCache
from workers.latent_cache.exact_index import ExactIndex
from workers.latent_cache.store import FolderStore

MASKS = pytest.mark.parametrize("mask", [None, hole()], ids=["image", "inpaint"])


@pytest.fixture
def toy(toys) -> ToyEngine:
    return ToyEngine(toys.member("unet"), steps=8)


@MASKS
def test_what_stood_still_or_was_preempted_ends_as_the_uninterrupted_one(toy, mask):
    source = Source(picture(), 0.75, mask)
    alone = toy.latent("alone", source=source)
    assert (toy.held("held", 3, source=source) - alone).abs().max() <= 1e-9
    future, running = toy.submit("preempted", source=source)
    for _ in range(3):
        toy.engine.step()
    assert toy.engine.preempt("preempted")
    toy.engine.step()
    with pytest.raises(Cancelled, match="It ran 3 steps; 3 are left"):
        future.result(0)
    again = dataclasses.replace(running.request, attempt=2, source=Source(picture(), 0.75, mask))
    future = toy.engine.submit(again)
    running = toy.engine.find("preempted")
    toy.run()
    assert (future.result(0).steps_run, future.result(0).steps_skipped) == (3, 2)
    assert (running.row.latent - alone).abs().max() <= 1e-9


@MASKS
def test_requests_of_all_kinds_share_forwards(toy, mask):
    toy.submit("plain")
    toy.submit("with a source", source=Source(picture(), 1.0, mask))
    before = toy.adapter.forwards
    toy.run()
    assert toy.adapter.forwards - before == 8


def test_an_image_with_a_mask_comes_out_with_its_own_pixels_outside_of_it(toy):
    future, _ = toy.submit("inpaint", source=Source(picture(), 0.5, hole()))
    toy.run()
    image = future.result(0).image
    assert image.getpixel((0, 0)) == picture().getpixel((0, 0))
    assert image.getpixel((32, 32)) != picture().getpixel((32, 32))


def test_the_latent_cache_neither_keeps_nor_serves_requests_with_a_source(toys, tmp_path):
    family = toys.member("unet")
    index = ExactIndex()
    cache = LatentCache(index, FolderStore(tmp_path), embed=lambda prompt: np.ones(384) / 384**0.5)
    engine = Engine(family, dtype=torch.float64, cache=cache, threaded=False)

    def drawn(name: str, level: str, source: Source | None) -> GenerationResult:
        future = engine.submit(make_request(name, steps=12, level=family.level(level), source=source))
        while engine.step():
            pass
        return future.result(0)

    drawn("an image", "exact", Source(picture(), 1.0))
    assert len(index) == 0
    drawn("a prompt", "exact", None)
    assert len(index) > 0
    assert drawn("alike", "ac-3", None).steps_skipped == 3
    result = drawn("alike, of an image", "ac-3", Source(picture(), 0.5))
    assert (result.cache_similarity, result.steps_skipped) == (None, 6)


@pytest.mark.parametrize("level", ["cq", "sub"])
def test_every_strategy_that_changes_steps_takes_a_source(toys, tmp_path, level):
    family = with_subspace(with_reuse(toys.family("sd15", "euler"), tmp_path, steps=7), 3, 7)
    toy = ToyEngine(family, level, steps=7)
    future, running = toy.submit("image", source=Source(picture(), 0.6, hole()))
    toy.run()
    assert (future.result(0).steps_run, future.result(0).level_id) == (4, level)
    assert torch.isfinite(running.row.latent).all()
