"""The everyday prompts, and telling whether a picture shows one."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from families.embedded.clip_scorer import load_scorer
from families.embedded.everyday import Everyday, check, everyday, rank, read
from families.embedded.model import WEIGHTS
from families.embedded.recipe import words
from families.embedded.recipe.everyday_scenes import everyday_scenes
from families.embedded.recipe.names import catalogue


def test_there_are_a_hundred_prompts_of_four_kinds() -> None:
    kinds = [one.kind for one in everyday()]
    assert len({one.prompt for one in everyday()}) == 100
    assert min(kinds.count(kind) for kind in ("thing", "place", "count", "pair")) >= 15


def test_every_thing_is_a_name_the_family_knows() -> None:
    known = {called for name in catalogue() for called in name.called}
    assert {thing for one in everyday() for thing in one.things} <= known


def test_seven_hundred_names_or_more_are_kept_and_none_twice() -> None:
    called = [name for one in catalogue() for name in one.called]
    assert len(catalogue()) >= 700
    assert len(set(called)) == len(called)


@pytest.mark.parametrize("one", everyday(), ids=lambda one: one.prompt)
def test_other_things_numbers_and_places_are_said_in_the_same_words(one: Everyday) -> None:
    for thing in one.things:
        others = one.of_others(thing)
        assert others[0] == one.prompt
        assert one.prompt not in others[1:]
    if one.kind == "count":
        assert len(set(one.of_numbers())) == len(words.NUMBERS)
    if one.ground and one.ground not in words.COLOURS:
        assert len(set(one.in_places())) == len(words.PLACES)


def test_every_everyday_prompt_is_the_wording_of_a_scene_that_shows_it() -> None:
    asked = everyday_scenes()
    assert list(asked) == list(everyday())
    for one, scene in asked.items():
        shown = [catalogue()[number].called for number, _ in scene.things]
        assert len(shown) == (one.number if one.kind != "pair" else len(one.things))
        assert all(any(thing in called for called in shown) for thing in one.things)
        assert one.ground in ("", words.GROUNDS[scene.plan.ground].name)


def test_the_rank_is_how_many_texts_are_nearer_than_the_one_asked_for() -> None:
    texts = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    pictures = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.7, 0.7]])
    assert rank(pictures, texts).tolist() == [0, 2, 1]


def test_a_picture_that_is_its_prompt_is_recognised() -> None:
    reader = partial(read, load_scorer(WEIGHTS / "scorer"))
    few = [one for one in everyday() if one.prompt in ("two cats", "a fox in the snow")]
    shares = check(reader, {one: reader([one.prompt]) for one in few})
    assert shares["things, top-1"] == shares["counts"] == shares["places"] == 1.0
