"""Scenes: one to four things on a ground, and the prompt that describes them. Composed here, painted by `painter`.

A `Plan` says what is asked for; its wording and layout are drawn from it at random. What is held out is held out by
the plan.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np

from families.embedded.recipe import words
from families.embedded.recipe.names import Name, catalogue

KINDS = ("single", "count", "pair", "list", "count-pair")
WEIGHTS = (5.0, 2.0, 2.2, 0.5, 0.5)
MOST = 4  # things of one scene
IN_PLACE = 0.35  # chance that a single, a count or a pair is set in a place
NAMED = 0.85  # chance that the prompt names the plain ground
HELD_OUT = 10  # every tenth composition (by its hash) is never trained on
SIZES = {"small": 0.42, "normal": 0.72, "large": 0.94}
STANDING_SIZES = {"small": 0.36, "normal": 0.58, "large": 0.76}
FEET = 0.88  # where things stand, from the top
RELATIONS = (  # (phrases, where the first thing is, seen from the second: x, y)
    (("left of", "to the left of"), (-1, 0)),
    (("right of", "to the right of"), (1, 0)),
    (("above", "over", "on top of"), (0, -1)),
    (("below", "under", "beneath"), (0, 1)),
    (("next to", "and", "beside"), (0, 0)),  # in either order
)
LEFT, RIGHT, ABOVE, BELOW, BESIDE = range(5)
LOOK_ALIKE = 0.5  # chance that a sibling's other name is one that looks alike
Alike = Sequence[Sequence[int]]  # name → the names that look most like it
Box = tuple[float, float, float]  # centre (or feet) x, y and longest side, as shares of the picture


@dataclass(frozen=True)
class Plan:
    """What is asked for: `names` and `ground` are numbers into the catalogue and `words.GROUNDS`."""

    kind: str
    names: tuple[int, ...]
    number: int
    relation: int
    size: str
    ground: int
    named: bool

    @property
    def standing(self) -> bool:
        return words.GROUNDS[self.ground].standing

    @property
    def key(self) -> tuple[object, ...]:
        """Plans that differ only in size or wording have the same key."""
        things = [catalogue()[name].label for name in self.names]
        return self.kind, *things, self.number, words.GROUNDS[self.ground].name

    @property
    def held_out(self) -> bool:
        """Whether it is for evaluation. Single things on plain grounds are few: only their wording is new."""
        composed = self.kind != "single" or not words.GROUNDS[self.ground].plain
        return composed and zlib.crc32(repr(self.key).encode()) % HELD_OUT == 0


@dataclass(frozen=True)
class Scene:
    plan: Plan
    prompt: str
    things: tuple[tuple[int, Box], ...]


def plan(rng: random.Random, kind: str | None = None) -> Plan:
    """A random plan."""
    kind = kind or rng.choices(KINDS, WEIGHTS)[0]
    everything = range(len(catalogue()))
    names: tuple[int, ...]
    if kind in ("count", "count-pair"):
        first = rng.choice(countable())
        names = (first,) if kind == "count" else (first, _another(rng, everything, first))
    else:
        names = tuple(rng.sample(everything, {"single": 1, "pair": 2, "list": 3}[kind]))
    place = kind in ("single", "count", "pair") and rng.random() < IN_PLACE
    ground = rng.choice(words.PLACES if place else words.PLAIN)
    drawn = Plan(
        kind,
        names,
        number=rng.choice((2, 3, 4) if kind == "count" else (2, 3)),
        relation=rng.choice((LEFT, RIGHT, ABOVE, BELOW, BESIDE)),
        size=rng.choices(list(SIZES), (1, 4, 1))[0],
        ground=ground,
        named=place or rng.random() < NAMED,
    )
    return _possible(drawn)


def sibling(rng: random.Random, plan: Plan, alike: Alike | None = None) -> Plan:
    """The same but for one thing that the scorer must notice: another name, number, order, ground or size.

    Another name comes in half of the cases from those that look alike, where they are given.
    """
    edits: list[Callable[[], Plan]] = [lambda: _other_name(rng, plan, alike)] * 3 + [lambda: _other_ground(rng, plan)]
    if plan.kind in ("count", "count-pair"):
        most = (2, 3, 4) if plan.kind == "count" else (2, 3)
        edits += [lambda: replace(plan, number=_another(rng, most, plan.number))] * 2
    if plan.kind in ("pair", "count-pair") and plan.relation != BESIDE:
        edits += [lambda: replace(plan, relation=plan.relation ^ 1)] * 2
    if plan.kind == "single":
        edits += [lambda: replace(plan, size=_another(rng, tuple(SIZES), plan.size))]
    return _possible(rng.choice(edits)())


def compose(rng: random.Random, plan: Plan) -> Scene:
    """A plan in words and boxes."""
    text, things = _COMPOSERS[plan.kind](rng, plan)
    if rng.random() < 0.15:
        text = rng.choice(words.FRAMES).format(text)
    if plan.named:
        phrase = rng.choice(words.GROUNDS[plan.ground].phrases)
        text = f"{text}{phrase}" if phrase.startswith(",") else f"{text} {phrase}"
    return Scene(plan, text, things)


@lru_cache(maxsize=1)
def countable() -> tuple[int, ...]:
    """Numbers of the names of which there can be three."""
    return tuple(number for number, name in enumerate(catalogue()) if words.is_countable(name.called[0]))


def _possible(plan: Plan) -> Plan:
    """On the ground nothing hangs above another, and four do not fit."""
    if plan.standing and plan.kind == "pair" and plan.relation in (ABOVE, BELOW):
        plan = replace(plan, relation=plan.relation - 2)
    if plan.standing and plan.kind == "count":
        plan = replace(plan, number=min(plan.number, 3))
    if plan.kind == "count-pair":
        plan = replace(plan, relation=ABOVE if plan.relation % 2 == 0 else BELOW)
    return plan


def _another(rng: random.Random, choices: Sequence[Any], than: object) -> Any:
    while (chosen := rng.choice(choices)) == than:
        pass
    return chosen


def _other_name(rng: random.Random, plan: Plan, alike: Alike | None) -> Plan:
    place = rng.randrange(len(plan.names))
    many = plan.kind in ("count", "count-pair") and place == 0
    choices: Sequence[int] = countable() if many else range(len(catalogue()))
    if alike is not None and rng.random() < LOOK_ALIKE:
        near = [name for name in alike[plan.names[place]] if name in choices and name not in plan.names]
        choices = near or choices
    names = list(plan.names)
    while (new := rng.choice(choices)) in names:
        pass
    names[place] = new
    return replace(plan, names=tuple(names))


def _other_ground(rng: random.Random, plan: Plan) -> Plan:
    alike = words.PLAIN if words.GROUNDS[plan.ground].plain else words.PLACES
    return replace(plan, ground=_another(rng, alike, plan.ground), named=True)


# --- wording and layout ----------------------------------------------------------------------------------------------


def _called(rng: random.Random, number: int) -> str:
    """A name of the thing; the usual one more often."""
    name = catalogue()[number]
    return rng.choice((*name.called, name.called[0]))


def _single(rng: random.Random, plan: Plan) -> tuple[str, tuple[tuple[int, Box], ...]]:
    (number,) = plan.names
    name: Name = catalogue()[number]
    text = _called(rng, number)
    if rng.random() < 0.06 and name.tags:
        text = f"{rng.choice(name.tags)} {text}"
    adjective = rng.choice(words.SIZE_WORDS[plan.size])
    described = f"{adjective} {text}" if adjective else text
    wording = rng.choice((words.article(described),) * 5 + (described, described, f"one {described}"))
    if words.is_plural(described):
        wording = described
    box = (0.5, FEET, STANDING_SIZES[plan.size]) if plan.standing else (0.5, 0.5, SIZES[plan.size])
    return wording, ((number, box),)


def _count(rng: random.Random, plan: Plan) -> tuple[str, tuple[tuple[int, Box], ...]]:
    names = [name for name in catalogue()[plan.names[0]].called if words.is_countable(name)]
    return f"{words.NUMBERS[plan.number]} {words.plural(rng.choice(names))}", _spread(plan, plan.names * plan.number)


def _pair(rng: random.Random, plan: Plan) -> tuple[str, tuple[tuple[int, Box], ...]]:
    first, second = plan.names
    phrases, (dx, dy) = RELATIONS[plan.relation]
    text = f"{words.article(_called(rng, first))} {rng.choice(phrases)} {words.article(_called(rng, second))}"
    if plan.relation == BESIDE:
        return text, _spread(plan, tuple(rng.sample(plan.names, 2)))
    if plan.standing:
        return text, _spread(plan, plan.names if plan.relation == LEFT else plan.names[::-1])
    return text, (
        (first, (0.5 + 0.25 * dx, 0.5 + 0.25 * dy, 0.46)),
        (second, (0.5 - 0.25 * dx, 0.5 - 0.25 * dy, 0.46)),
    )


def _list(rng: random.Random, plan: Plan) -> tuple[str, tuple[tuple[int, Box], ...]]:
    a, b, c = (words.article(_called(rng, name)) for name in plan.names)
    return rng.choice((f"{a}, {b} and {c}", f"{a}, {b}, {c}", f"{a} and {b} and {c}")), _spread(plan, plan.names)


def _count_pair(rng: random.Random, plan: Plan) -> tuple[str, tuple[tuple[int, Box], ...]]:
    many, one = plan.names
    above = plan.relation == ABOVE
    size = 0.46 if plan.number == 2 else 0.30
    row = tuple((many, ((i + 0.5) / plan.number, 0.27 if above else 0.73, size)) for i in range(plan.number))
    names = f"{words.NUMBERS[plan.number]} {words.plural(catalogue()[many].called[0])}"
    phrase = rng.choice(RELATIONS[plan.relation][0])
    text = f"{names} {phrase} {words.article(_called(rng, one))}"
    return text, (*row, (one, (0.5, 0.75 if above else 0.25, 0.46)))


_COMPOSERS = {"single": _single, "count": _count, "pair": _pair, "list": _list, "count-pair": _count_pair}
_SPREAD = {2: ((0.25, 0.5), (0.75, 0.5)), 3: ((0.5, 0.26), (0.25, 0.74), (0.75, 0.74)),
           4: ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75))}  # fmt: skip


def _spread(plan: Plan, names: tuple[int, ...]) -> tuple[tuple[int, Box], ...]:
    """Two side by side; three as one over two; four in the corners; on the ground all in a row."""
    count = len(names)
    if plan.standing:
        size = {2: 0.42, 3: 0.29}[count]
        return tuple((name, ((i + 0.5) / count, FEET, size)) for i, name in enumerate(names))
    return tuple((name, (x, y, 0.44)) for name, (x, y) in zip(names, _SPREAD[count], strict=True))


# --- many at once ----------------------------------------------------------------------------------------------------


@dataclass
class Layout:
    """Scenes as arrays: names (N, 4), −1 where there is none; boxes (N, 4, 3); ground (N); standing (N)."""

    names: np.ndarray
    boxes: np.ndarray
    ground: np.ndarray
    standing: np.ndarray


def layout(scenes: list[Scene]) -> Layout:
    names = np.full((len(scenes), MOST), -1, np.int64)
    boxes = np.full((len(scenes), MOST, 3), 0.5, np.float32)
    for row, scene in enumerate(scenes):
        for place, (name, box) in enumerate(scene.things):
            names[row, place], boxes[row, place] = name, box
    ground = np.array([scene.plan.ground for scene in scenes], np.int64)
    standing = np.array([scene.plan.standing for scene in scenes], bool)
    return Layout(names, boxes, ground, standing)


def training_scenes(count: int, seed: int, family: int = 1, alike: Alike | None = None) -> tuple[list[str], Layout]:
    """Prompts and layout of scenes to train on, none held out; in each `family` of so many the first's siblings."""
    rng = random.Random(seed)
    scenes: list[Scene] = []
    while len(scenes) < count:
        first = _until(partial(plan, rng), held_out=False)
        scenes.append(compose(rng, first))
        for _ in range(family - 1):
            scenes.append(compose(rng, _until(partial(sibling, rng, first, alike), held_out=False)))
    return [scene.prompt for scene in scenes[:count]], layout(scenes[:count])


def held_out_scenes(count: int, seed: int = 77) -> list[Scene]:
    """Scenes for evaluation, in the training's proportions: unseen compositions, single things. No prompt twice."""
    rng, chosen = random.Random(seed), dict[str, Scene]()
    while len(chosen) < count:
        kind = rng.choices(KINDS, WEIGHTS)[0]
        drawn = plan(rng, kind)
        composed = drawn.kind != "single" or not words.GROUNDS[drawn.ground].plain
        if composed:
            drawn = _until(partial(plan, rng, kind), held_out=True)
        scene = compose(rng, drawn)
        chosen.setdefault(scene.prompt, scene)
    return list(chosen.values())


def _until(draw: Callable[[], Plan], held_out: bool) -> Plan:
    while (drawn := draw()).held_out != held_out:
        pass
    return drawn


def joined(parts: list[tuple[list[str], Layout]]) -> tuple[list[str], Layout]:
    """Several lots as one."""
    prompts = [prompt for part, _ in parts for prompt in part]
    fields = ("names", "boxes", "ground", "standing")
    return prompts, Layout(*(np.concatenate([getattr(part, field) for _, part in parts]) for field in fields))
