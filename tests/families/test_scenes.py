"""The composer: what the pixels show is what the prompt says."""

from __future__ import annotations

import random

import pytest

from families.embedded import emoji, pixels, words
from families.embedded.budget import load_budget
from families.embedded.pool import held_out, is_held_out
from families.embedded.scenes import compose, render

pytestmark = pytest.mark.usefixtures("shapes")


def test_counts_and_grounds_in_the_pixels_agree_with_the_prompt() -> None:
    budget, rng = load_budget("cpu"), random.Random(3)
    scenes = [compose(rng, budget.names, budget.kinds) for _ in range(120)]
    pictures = [render(scene, rng) for scene in scenes]
    counted = [pixels.things_in(p) == len(s.things) for s, p in zip(scenes, pictures, strict=True)]
    assert sum(counted) >= 0.93 * len(scenes)
    assert all(pixels.ground_is(p, s.background) for s, p in zip(scenes, pictures, strict=True))


def test_a_prompt_names_its_ground_or_the_scene_says_it_does_not() -> None:
    budget, rng = load_budget("cpu"), random.Random(4)
    for _ in range(200):
        scene = compose(rng, budget.names, budget.kinds)
        assert not scene.named or scene.background in scene.prompt


def test_what_is_evaluated_was_never_composed_for_training() -> None:
    budget = load_budget("cpu")
    scenes = held_out(budget, 60)
    assert len({scene.prompt for scene in scenes}) == 60
    assert all(is_held_out(scene) for scene in scenes if scene.kind != "single")


def test_a_thing_left_of_another_stands_to_its_left() -> None:
    rng = random.Random(5)
    scenes = [compose(rng, ["fox", "pizza"], (0, 0, 1, 0, 0)) for _ in range(80)]
    asked = [scene for scene in scenes if " left of " in scene.prompt]
    assert asked
    for scene in asked:
        first, second = scene.things
        assert first.x < second.x
        assert scene.prompt.index(words.names_of(first.label)[0]) < scene.prompt.index(words.names_of(second.label)[0])


def test_all_names_means_every_name_in_the_catalogue() -> None:
    assert load_budget("accelerator").names == tuple(emoji.catalogue())


def test_a_ground_of_another_colour_is_noticed() -> None:
    scene = compose(random.Random(6), ["fox"], (1, 0, 0, 0, 0))
    picture = render(scene)
    assert not any(pixels.ground_is(picture, other) for other in words.BACKGROUNDS if other != scene.background)
