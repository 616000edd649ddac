"""The everyday prompts as scenes: what the training would paint for them, to see what the scorer makes of it."""

from __future__ import annotations

import random

from families.embedded.everyday import Everyday, everyday
from families.embedded.recipe import scenes, words
from families.embedded.recipe.names import catalogue

KINDS = {"thing": "single", "place": "single", "count": "count", "pair": "pair"}


def everyday_scenes() -> dict[Everyday, scenes.Scene]:
    """Those of the everyday prompts whose things are all in the catalogue, each with a scene that shows it."""
    numbers = {called: number for number, name in enumerate(catalogue()) for called in name.called}
    rng = random.Random(1)
    return {
        one: scenes.compose(rng, plan_of(one, tuple(numbers[thing] for thing in one.things)))
        for one in everyday()
        if set(one.things) <= set(numbers)
    }


def plan_of(one: Everyday, names: tuple[int, ...]) -> scenes.Plan:
    """The plan that this prompt is a wording of."""
    kind = "count" if one.number > 1 else KINDS[one.kind]
    relation = next(
        (
            number
            for number, (phrases, _) in enumerate(scenes.RELATIONS)
            if any(f" {p} " in one.prompt for p in phrases)
        ),
        scenes.BESIDE,
    )
    size = next((size for size, said in words.SIZE_WORDS.items() if _says(one.prompt, said)), "normal")
    grounds = [ground.name for ground in words.GROUNDS]
    return scenes.Plan(kind, names, one.number, relation, size, grounds.index(one.ground or "light grey"), True)


def _between(prompt: str, some: tuple[str, ...]) -> bool:
    return any(f" {words} " in prompt for words in some)


def _says(prompt: str, some: tuple[str, ...]) -> bool:
    return any(word in prompt.split() for word in some if word)
