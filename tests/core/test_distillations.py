"""A model that was distilled is drawn with the sampler, steps and guidance it was made for, or its file is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.distillations import RECIPES
from core.errors import BadFamily
from core.families import Family, load_family

FAMILY = """
id = "toy"
title = "Toy"
version = "1"
reference = "exact"
[defaults]
steps = 20
guidance = 7.5
width = 64
height = 64
[limits]
steps = [1, 50]
guidance = [0.0, 12.0]
sizes = [[64, 64]]
[models.large]
pipeline = "stable-diffusion"
path = "large"
[models.fast]
pipeline = "stable-diffusion"
path = "large"
distilled = "lightning"
lora = "fast.safetensors"
[levels.exact]
strategy = "exact"
model = "large"
[levels.fs-fast]
strategy = "fs"
model = "fast"
steps = 4
fixed_steps = true
guidance = 0.0
[scorer]
kind = "hf-clip"
path = "x"
"""


def read(folder: Path, *changes: tuple[str, str]) -> Family:
    text = FAMILY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "toy.toml").write_text(text)
    return load_family(str(folder / "toy.toml"))


@pytest.mark.parametrize("kind", sorted(RECIPES))
def test_the_way_it_was_distilled_says_its_sampler(tmp_path: Path, kind: str):
    family = read(tmp_path, ("lightning", kind))
    assert family.models["fast"].sampler == family.models["fast"].scheduler_name == RECIPES[kind].sampler
    assert family.models["large"].sampler is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ([('distilled = "lightning"', 'distilled = "lightning"\nscheduler = "LCMScheduler"')],
         "models.fast.scheduler is to be EulerDiscreteScheduler, of lightning models"),
        ([("guidance = 0.0\n[scorer]", "guidance = 3.0\n[scorer]")], "levels.fs-fast.guidance is 3; its model"),
        ([("guidance = 0.0\n[scorer]", "[scorer]")], "levels.fs-fast.guidance is 7.5"),
        ([("steps = 4", "steps = 5")], "levels.fs-fast.steps: its model was distilled to 2, 4, 8"),
        ([("fixed_steps = true\n", "")], "levels.fs-fast.steps: its model was distilled to 2, 4, 8"),
        ([('distilled = "lightning"', 'distilled = "speed"')], "models.fast.distilled"),
        ([('"stable-diffusion"\npath = "large"\ndistilled', '"pixart-sigma"\npath = "large"\ndistilled')],
         "models.fast.lora: 'pixart-sigma' takes none"),
        ([("fast.safetensors", "fast.ckpt")], "is a pickle"),
    ],
)  # fmt: skip
def test_a_combination_it_was_not_made_for_is_refused_and_the_field_is_named(
    tmp_path: Path, changes: list[tuple[str, str]], says: str
):
    with pytest.raises(BadFamily) as refused:
        read(tmp_path, *changes)
    assert says in str(refused.value)


def test_a_checkpoint_that_takes_guidance_as_an_input_bears_what_it_is_given_and_a_lora_does_not(tmp_path: Path):
    lcm, given = ("lightning", "lcm"), ("guidance = 0.0\n[scorer]", "guidance = 8.0\n[scorer]")
    assert read(tmp_path, lcm, given, ('lora = "fast.safetensors"\n', "")).level("fs-fast").guidance == 8
    with pytest.raises(BadFamily, match="bear at most 2"):
        read(tmp_path, lcm, given)


def test_the_members_of_the_embedded_family_are_offered_at_the_steps_they_were_distilled_to():
    family = load_family("embedded")
    assert {level.steps for level in family.levels_of("turbo")} == {1, 2, 4}
