"""Few-step models of the real classes at toy width: the sampler is set, a LoRA is in the weights, rows fuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from core.distillations import RECIPES
from core.errors import LoraDamaged, LoraUnfit
from core.families import Family
from core.levels import Level
from tests.workers.toy_engine import ToyEngine
from tests.workers.toy_loras import save_lora
from workers.pipelines import load_adapter


def distilled(family: Family, kind: str, lora: Path | None = None) -> Family:
    """The family with its model distilled that way, and a level of its fewest steps but one."""
    (model,) = family.models.values()
    fast = model.model_copy(update={"distilled": kind, "lora": str(lora) if lora else None})
    level = Level(id="fs", strategy="fs", model=model.id, steps=RECIPES[kind].steps[1], fixed_steps=True, guidance=0.0)
    return family.model_copy(update={"models": {model.id: fast}, "levels": {**family.levels, "fs": level}})


@pytest.mark.parametrize("kind", sorted(RECIPES))
@pytest.mark.parametrize("architecture", ["sd15", "sdxl"])
def test_rows_of_every_kind_take_its_steps_with_its_sampler_and_end_as_alone(toys: Any, architecture: str, kind: str):
    room = ToyEngine(distilled(toys.family(architecture), kind), "fs")
    scheduler, recipe = room.adapter.scheduler, RECIPES[kind]
    assert type(scheduler).__name__ == recipe.sampler
    assert {name: scheduler.config[name] for name in recipe.config} == recipe.config
    alone = [room.latent(f"alone {seed}", seed=seed) for seed in range(2)]
    asked = [room.submit(f"fused {seed}", seed=seed) for seed in range(2)]
    room.run()
    for latent, (future, running) in zip(alone, asked, strict=True):
        assert (running.row.latent - latent).abs().max() <= 1e-9
        assert (future.result(0).steps_run, future.result(0).guidance) == (recipe.steps[1], 0.0)
        assert running.row.negative is None, "one half alone"


@pytest.mark.parametrize("architecture", ["sd15", "sdxl"])
def test_a_lora_that_distils_a_model_is_in_its_weights_as_diffusers_adds_it(
    toys: Any, tmp_path: Path, architecture: str
):
    family, plain = toys.family(architecture), toys.adapter(architecture)
    file = save_lora(plain, tmp_path, 3)
    fast = load_adapter(distilled(family, "lcm", file).models["random"], "cpu", torch.float64)
    pipe = type(plain.pipe).from_pretrained(family.models["random"].path, dtype=torch.float64)
    pipe.load_lora_weights(str(file.parent), weight_name=file.name)
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    expected, before = pipe.unet.state_dict(), plain.net.state_dict()
    found = fast.net.state_dict()
    assert set(found) == set(before), "no layer of peft is left"
    assert all(torch.equal(found[name], expected[name]) for name in found)
    assert any((found[name] - before[name]).abs().max() > 1e-6 for name in found)


def test_a_lora_that_is_damaged_or_for_another_model_is_refused_when_the_model_is_loaded(toys: Any, tmp_path: Path):
    file = save_lora(toys.adapter("sdxl"), tmp_path / "other", 3)
    with pytest.raises(LoraUnfit, match="does not fit") as refused:
        load_adapter(distilled(toys.family("sd15"), "lcm", file).models["random"], "cpu", torch.float64)
    assert refused.value.field == "models.random.lora"
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(save_lora(toys.adapter("sd15"), tmp_path / "own", 3).read_bytes()[:-50])
    with pytest.raises(LoraDamaged):
        load_adapter(distilled(toys.family("sd15"), "lcm", torn).models["random"], "cpu", torch.float64)
