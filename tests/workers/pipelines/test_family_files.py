"""The families that come with Argus name adapters and strategies that exist, and levels that save something."""

from __future__ import annotations

import pytest
import torch

from core.families import FAMILIES, Family, load_family
from tests.workers.toys import make_request
from workers.engine.fitting import sizes_mb
from workers.latent_cache.depths import kept_depths
from workers.pipelines import adapter_class
from workers.strategies import STRATEGIES

NAMES = sorted(file.stem for file in FAMILIES.glob("*.toml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_model_has_an_adapter_and_every_level_a_strategy(name):
    family = load_family(name)
    assert family.id == name
    for model in family.models.values():
        assert adapter_class(model.pipeline)
    assert {part for level in family.levels.values() for part in level.strategies} <= set(STRATEGIES)
    assert (family.defaults.width, family.defaults.height) in family.limits.sizes


@pytest.mark.parametrize("name", NAMES)
def test_cached_levels_start_from_depths_that_are_kept(name):
    family = load_family(name)
    for level in family.levels.values():
        if level.strategy == "ac":
            steps, skip = level.schedule(family.defaults.steps, family.defaults.steps)
            assert skip in kept_depths(family, level.model, steps)


def test_a_pipeline_nobody_wrote_an_adapter_for_is_refused_by_name():
    with pytest.raises(Exception, match="Known: embedded-unet"):
        adapter_class("imagen")


@pytest.mark.parametrize("architecture", ["sd15", "sdxl", "sd3", "flux", "pixart-alpha", "pixart-sigma"])
def test_a_family_from_a_local_folder_runs_in_the_engine_at_every_level(toys, architecture):
    from workers.engine.engine import Engine

    family = toys.family(architecture)
    adapter = toys.adapter(architecture)
    engine = Engine(family, dtype=torch.float64, load=lambda model: adapter, threaded=False)
    futures = [
        engine.submit(make_request(request_id=name, steps=6, level=level)) for name, level in family.levels.items()
    ]
    while engine.step():
        pass
    assert [future.result(0).steps_run for future in futures] == [6, 3, 6]
    assert adapter.forwards >= 6
    assert {future.result(0).image.size for future in futures} == {(64, 64)}


def test_a_model_without_a_level_is_in_no_queue_and_not_counted_for_a_device():
    family = load_family("embedded")
    assert set(family.models) - set(family.offered) == {"dit"}
    assert family.queues_of(["dit"]) == []
    assert set(sizes_mb(family, torch.float32)) == set(family.offered)


@pytest.mark.parametrize("name", NAMES)
def test_words_have_weights_where_the_family_s_encoders_read_them(name):
    family = load_family(name)
    assert family.prompt_weights == ("compel" if name in ("sd15", "sdxl") else None)
    with pytest.raises(ValueError, match="weights of words are read by stable-diffusion"):
        Family(**{**load_family("flux").model_dump(), "prompt_weights": "compel"})
