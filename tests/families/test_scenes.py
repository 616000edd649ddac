"""The composer and the painter: what the pixels show is what the prompt says."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from families.embedded import pixels
from families.embedded.recipe import names, scenes, words
from families.embedded.recipe.painter import Layout, Painter

pytestmark = pytest.mark.usefixtures("toy_names")
SIDE = 128


@pytest.fixture(scope="module")
def painter(toy_names: tuple[str, ...]) -> Painter:
    return Painter("cpu")


def drawn(painter: Painter, some: list[scenes.Scene]) -> np.ndarray:
    """Pictures (N, SIDE, SIDE, 3) in uint8."""
    layout = Layout.of(scenes.layout(some), "cpu")
    painted = painter.paint(layout, SIDE, torch.Generator().manual_seed(1))
    return ((painted + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def composed(count: int, seed: int, kind: str | None = None, plain: bool = True) -> list[scenes.Scene]:
    rng, found = random.Random(seed), []
    while len(found) < count:
        plan = scenes.plan(rng, kind)
        if words.GROUNDS[plan.ground].plain == plain:
            found.append(scenes.compose(rng, plan))
    return found


def test_counts_and_grounds_in_the_pixels_agree_with_the_prompt(painter: Painter) -> None:
    some = composed(80, seed=3)
    pictures = drawn(painter, some)
    counted = [pixels.things_in(p) == len(s.things) for s, p in zip(some, pictures, strict=True)]
    grounds = [pixels.ground_is(p, words.GROUNDS[s.plan.ground].name) for s, p in zip(some, pictures, strict=True)]
    assert sum(counted) >= 0.9 * len(some)
    assert sum(grounds) >= 0.97 * len(some)


def test_a_prompt_names_its_ground_or_the_plan_says_it_does_not() -> None:
    for scene in [*composed(100, seed=4), *composed(50, seed=5, plain=False)]:
        named = any(scene.prompt.endswith(phrase) for phrase in words.GROUNDS[scene.plan.ground].phrases)
        assert named or not scene.plan.named


def test_what_is_evaluated_was_never_composed_for_training() -> None:
    held_out = scenes.held_out_scenes(60)
    assert len({scene.prompt for scene in held_out}) == 60
    assert all(scene.plan.held_out for scene in held_out if scene.plan.kind not in ("single",))
    assert not {scene.prompt for scene in held_out if scene.plan.kind == "pair"} & set(
        scenes.training_scenes(500, 2)[0]
    )


def test_a_thing_left_of_another_stands_to_its_left() -> None:
    asked = [scene for scene in composed(200, seed=5, kind="pair") if " left of " in scene.prompt]
    assert asked
    for scene in asked:
        (_, (first, *_)), (_, (second, *_)) = scene.things
        assert first < second


def test_in_a_place_with_a_floor_nothing_hangs_above_another() -> None:
    pairs = [s for s in composed(200, seed=6, kind="pair", plain=False) if s.plan.standing]
    assert pairs
    assert all(scene.plan.relation not in (scenes.ABOVE, scenes.BELOW) for scene in pairs)


def test_a_sibling_differs_in_what_is_asked_for_and_in_one_thing_only() -> None:
    rng = random.Random(7)
    for _ in range(100):
        plan = scenes.plan(rng)
        other = scenes.sibling(rng, plan)
        fields = ("names", "number", "relation", "size", "ground")
        assert sum(getattr(plan, field) != getattr(other, field) for field in fields) <= 1
        assert plan.kind == other.kind


def test_a_ground_of_another_colour_is_noticed(painter: Painter) -> None:
    (scene,) = composed(1, seed=8, kind="single")
    (picture,) = drawn(painter, [scene])
    ground = words.GROUNDS[scene.plan.ground].name
    assert not any(pixels.ground_is(picture, other) for other in words.COLOURS if other != ground)


def test_the_same_seed_composes_the_same_scenes() -> None:
    assert scenes.training_scenes(30, 9)[0] == scenes.training_scenes(30, 9)[0]


def test_half_of_the_other_names_look_like_the_one_they_stand_for() -> None:
    rng, alike = random.Random(10), names.look_alikes()
    near = [row[:2] for row in alike]
    changed = [(plan, scenes.sibling(rng, plan, near)) for plan in (scenes.plan(rng, "single") for _ in range(300))]
    others = [(plan.names[0], other.names[0]) for plan, other in changed if plan.names != other.names]
    share = sum(other in near[name] for name, other in others) / len(others)
    assert 0.4 < share < 0.8  # half, and two of eleven of the rest
    assert all(name not in row and len(row) == len(alike) - 1 for name, row in enumerate(alike))


def test_a_family_of_scenes_is_one_and_its_siblings() -> None:
    _, layout = scenes.training_scenes(80, 11, family=4)
    things, grounds = np.sort(layout.names, 1).reshape(-1, 4, scenes.MOST), layout.ground.reshape(-1, 4)
    same_things = (things == things[:, :1]).all(2)
    assert (same_things | (grounds == grounds[:, :1])).all()  # never both are others
    assert 0.2 < same_things[:, 1:].mean() < 0.6
