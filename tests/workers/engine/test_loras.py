"""Requests with LoRAs in the engine: batches by set, faults of their own, a budget, a cache that keeps them apart."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from core.errors import LoraDamaged, LoraUnfit
from core.levels import Level
from core.loras import LoraUse
from tests.workers.toy_loras import save_lora, with_loras
from tests.workers.toys import make_request
from workers.engine.engine import Engine
from workers.engine.lora_store import LoraStore
from workers.latent_cache.cache import LatentCache
from workers.latent_cache.exact_index import ExactIndex
from workers.latent_cache.store import FolderStore

INK, OIL = (LoraUse("ink", 0.8),), (LoraUse("oil", 1.0),)


@pytest.fixture(scope="module")
def family(toys, tmp_path_factory):
    """SD 1.5 at toy width with two LoRAs that are well and one that is cut short."""
    folder, adapter = tmp_path_factory.mktemp("loras"), toys.adapter("sd15")
    files = {name: save_lora(adapter, folder / name, seed) for seed, name in enumerate(("ink", "oil"), start=1)}
    files["torn"] = folder / "torn.safetensors"
    files["torn"].write_bytes(files["ink"].read_bytes()[:-50])
    found = with_loras(toys.family("sd15"), "random", **files)
    cached = Level(id="fc", strategy="fc", model="random", cache="first-block", options={"threshold": 0.1})
    return found.model_copy(update={"levels": {**found.levels, "fc": cached}})


@pytest.fixture
def engine(toys, family):
    """An engine of the family; the feature cache, which a UNet has none for, is only named."""

    def make(**options):
        adapter = toys.adapter("sd15")
        adapter.add_feature_cache = lambda level: None
        return Engine(family, dtype=torch.float64, load=lambda model: adapter, threaded=False, **options)

    return make


def drawn(engine, *requests):
    """All of them at once: what became of each."""
    futures = [engine.submit(request) for request in requests]
    while engine.step():
        pass
    return [future.exception(0) or future.result(0) for future in futures]


def asked(name, loras=(), **changes):
    return make_request("a red fox", request_id=name, loras=loras, **changes)


def pixels(result):
    return np.asarray(result.image)


def test_rows_share_a_batch_with_those_of_the_same_loras_and_weights_and_nobody_else(engine):
    weaker = (LoraUse("ink", 0.3),)
    found = drawn(
        engine(), *(asked(str(n), loras) for n, loras in enumerate([(), (), INK, INK, weaker, OIL, (*INK, *OIL)]))
    )
    assert [result.batch_max for result in found] == [2, 2, 2, 2, 1, 1, 1]
    kinds = {pixels(result).tobytes() for result in found}
    assert len(kinds) == 5, "plain, ink, weak ink, oil, both"


@pytest.mark.parametrize("loras", [(), INK, (*INK, *OIL)])
def test_whatever_else_runs_each_draws_what_it_draws_alone(engine, loras):
    (alone,) = drawn(engine(), asked("1", loras))
    beside = drawn(engine(), asked("1", loras), asked("2", OIL), asked("3"), asked("4", loras, seed=9))
    assert np.array_equal(pixels(alone), pixels(beside[0]))


def test_a_damaged_one_fails_its_request_alone_with_its_code(engine):
    torn, well, plain = drawn(engine(), asked("1", (LoraUse("torn", 1.0),)), asked("2", INK), asked("3"))
    assert isinstance(torn, LoraDamaged)
    assert "torn" in torn.message
    assert well.steps_run == plain.steps_run == 4


def test_a_level_that_would_draw_without_them_is_refused(engine, family):
    (refused,) = drawn(engine(), asked("1", INK, level=family.level("fc")))
    assert isinstance(refused, LoraUnfit)


def test_a_set_is_loaded_once_whatever_its_weights_and_the_oldest_leaves_first(family, toys):
    loads = []

    class Sheet:
        memory_mb = 4.0

        def acting(self, weights):
            return weights

    def load(adapter, loras):
        loads.append([lora.id for lora in loras])
        return Sheet()

    store, adapter = LoraStore(family, 8.0, load), toys.adapter("sd15")
    exact = family.level("exact")
    for uses in (INK, (LoraUse("ink", 0.1),), OIL, INK, (*INK, *OIL)):
        assert store.acting(adapter, exact, uses) == tuple(use.weight for use in uses)
    assert loads == [["ink"], ["oil"], ["ink", "oil"]]
    assert store.held() == {"random": {("ink",): 4.0, ("ink", "oil"): 4.0}}


def test_sets_go_with_their_model(family):
    store, model = LoraStore(family, 8.0, lambda adapter, loras: SimpleNamespace(memory_mb=1, acting=tuple)), Model()
    store.acting(model, family.level("exact"), INK)
    assert store.held()
    del model
    gc.collect()
    assert not store.held()


class Model:
    """The least that a store wants of an adapter."""

    model = SimpleNamespace(id="random")


def test_latents_drawn_with_a_lora_serve_those_with_the_same_lora_and_weight_only(engine, family, tmp_path):
    embed = np.eye(1, 384, dtype=np.float32)[0]
    cache = LatentCache(ExactIndex(), FolderStore(tmp_path), embed=lambda prompt: embed)
    drawing, ac = engine(cache=cache), family.level("ac-4")
    drawn(drawing, asked("1", INK, steps=10))

    def skipped(loras):
        (result,) = drawn(drawing, asked("again", loras, level=ac, steps=10))
        return result.steps_skipped

    assert [skipped(loras) for loras in (INK, (), OIL, (LoraUse("ink", 0.7),), (*INK, *OIL))] == [2, 0, 0, 0, 0]
    drawn(drawing, asked("2", (), steps=10))
    assert [skipped(loras) for loras in ((), (LoraUse("oil", 0.5),))] == [2, 0]


def test_a_preempted_one_continues_with_its_loras(engine):
    (whole,) = drawn(engine(), asked("1", INK))
    drawing = engine()
    future = drawing.submit(asked("1", INK))
    drawing.step()
    drawing.step()
    drawing.preempt("1")
    drawing.step()
    assert future.exception(0) is not None
    assert drawing.preempted() == ["1"]
    (resumed,) = drawn(drawing, asked("1", INK, attempt=2))
    assert "resumed" in resumed.reason
    assert np.array_equal(pixels(resumed), pixels(whole))


def test_steps_with_loras_are_measured_apart_and_begin_with_what_the_model_takes(engine):
    drawing = engine()
    drawn(drawing, asked("1"))
    plain = drawing.costs.step_s("random", 1)
    assert drawing.costs.step_s("random with LoRAs", 1) == plain > 0
    drawn(drawing, asked("2", INK))
    assert drawing.costs.step_s("random", 1) == plain
    assert drawing.costs.step_s("random with LoRAs", 1) != plain
