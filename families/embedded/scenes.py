"""Scenes composed on the fly: one to four things on a coloured ground, and the prompt that describes them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from families.embedded import words
from families.embedded.emoji import sprite

CANVAS = 128
KINDS = ("single", "count", "pair", "list", "count-pair")
PLACE = (  # (phrases, where the first thing is, seen from the second: x, y)
    (("left of", "to the left of"), (-1, 0)),
    (("right of", "to the right of"), (1, 0)),
    (("above", "over", "on top of"), (0, -1)),
    (("below", "under", "beneath"), (0, 1)),
)


@dataclass(frozen=True)
class Thing:
    """One emoji on the canvas: its centre and longest side, as shares of the canvas."""

    label: str
    x: float
    y: float
    size: float


@dataclass(frozen=True)
class Scene:
    """What a prompt asks for. `background` is the colour's name; `named` says whether the prompt names it."""

    prompt: str
    kind: str
    things: tuple[Thing, ...]
    background: str
    named: bool

    @property
    def key(self) -> tuple[object, ...]:
        """Scenes that differ only in wording or jitter have the same key: what is held out is held out by it."""
        return self.kind, tuple(thing.label for thing in self.things), self.background


def compose(rng: random.Random, labels: Sequence[str], weights: Sequence[float]) -> Scene:
    """A random scene with its prompt. `weights` are the chances of `KINDS`."""
    kind = rng.choices(KINDS, weights)[0]
    text, things = _COMPOSERS[kind](rng, labels)
    background = rng.choice(list(words.BACKGROUNDS))
    named = rng.random() < 0.8
    return Scene(_on_ground(rng, text, background) if named else text, kind, things, background, named)


def _single(rng: random.Random, labels: Sequence[str]) -> tuple[str, tuple[Thing, ...]]:
    label = rng.choice(labels)
    size = rng.choices(list(words.SIZES), (1, 4, 1))[0]
    name = rng.choice((*words.names_of(label), words.names_of(label)[0]))
    if rng.random() < 0.08 and (tags := words.keywords_of(label)):
        name = f"{rng.choice(tags)} {name}"
    adjective = rng.choice(words.SIZE_WORDS[size])
    described = f"{adjective} {name}" if adjective else name
    text = rng.choice(
        (words.article(described),) * 4 + (described, f"one {described}", f"a picture of {words.article(described)}")
    )
    return text, (Thing(label, 0.5, 0.5, words.SIZES[size]),)


def _count(rng: random.Random, labels: Sequence[str]) -> tuple[str, tuple[Thing, ...]]:
    label, number = rng.choice(labels), rng.choice((2, 3, 4))
    name = words.plural(rng.choice(words.names_of(label)))
    return f"{words.NUMBERS[number]} {name}", _spread([label] * number)


def _pair(rng: random.Random, labels: Sequence[str]) -> tuple[str, tuple[Thing, ...]]:
    first, second = rng.sample(list(labels), 2)
    a, b = (words.article(rng.choice(words.names_of(label))) for label in (first, second))
    if rng.random() < 0.25:
        joined = rng.choice((f"{a} next to {b}", f"{a} and {b}", f"{a} beside {b}"))
        return joined, _spread(rng.sample([first, second], 2))
    phrases, (dx, dy) = rng.choice(PLACE)
    things = (
        Thing(first, 0.5 + 0.25 * dx, 0.5 + 0.25 * dy, 0.46),
        Thing(second, 0.5 - 0.25 * dx, 0.5 - 0.25 * dy, 0.46),
    )
    return f"{a} {rng.choice(phrases)} {b}", things


def _list(rng: random.Random, labels: Sequence[str]) -> tuple[str, tuple[Thing, ...]]:
    chosen = rng.sample(list(labels), 3)
    a, b, c = (words.article(rng.choice(words.names_of(label))) for label in chosen)
    return f"{a}, {b} and {c}", _spread(chosen)


def _count_pair(rng: random.Random, labels: Sequence[str]) -> tuple[str, tuple[Thing, ...]]:
    many, one = rng.sample(list(labels), 2)
    number = rng.choice((2, 3))
    above = rng.random() < 0.5
    row = tuple(
        Thing(many, (i + 0.5) / number, 0.27 if above else 0.73, 0.46 if number == 2 else 0.30) for i in range(number)
    )
    names = f"{words.NUMBERS[number]} {words.plural(words.names_of(many)[0])}"
    phrase = rng.choice(PLACE[2 if above else 3][0])
    return f"{names} {phrase} {words.article(words.names_of(one)[0])}", (
        *row,
        Thing(one, 0.5, 0.75 if above else 0.25, 0.46),
    )


_COMPOSERS = {"single": _single, "count": _count, "pair": _pair, "list": _list, "count-pair": _count_pair}


def _spread(labels: Sequence[str]) -> tuple[Thing, ...]:
    """Two side by side; three as one over two; four in the corners."""
    places = {
        2: ((0.25, 0.5), (0.75, 0.5)),
        3: ((0.5, 0.26), (0.25, 0.74), (0.75, 0.74)),
        4: ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)),
    }[len(labels)]
    return tuple(Thing(label, x, y, 0.44) for label, (x, y) in zip(labels, places, strict=True))


def _on_ground(rng: random.Random, text: str, colour: str) -> str:
    return rng.choice(
        (f"{text} on {words.article(colour)} background",) * 4
        + (f"{text}, {colour} background", f"{text} in front of {words.article(colour)} wall", f"{text} on {colour}")
    )


def render(scene: Scene, rng: random.Random | None = None, jitter: float = 0.015, side: int = CANVAS) -> np.ndarray:
    """The scene as (side, side, 3) uint8; with `rng`, places and sizes vary a little."""
    canvas = Image.new("RGBa", (side, side), (*words.BACKGROUNDS[scene.background], 255))
    for thing in scene.things:
        dx, dy, grow = (rng.uniform(-jitter, jitter) for _ in range(3)) if rng else (0.0, 0.0, 0.0)
        _paste(canvas, thing, thing.x + dx, thing.y + dy, thing.size * (1 + grow))
    return np.asarray(canvas)[..., :3].copy()


def _paste(canvas: Image.Image, thing: Thing, x: float, y: float, size: float) -> None:
    picture = sprite(thing.label)
    factor = size * canvas.width / max(picture.size)
    width, height = (max(1, round(length * factor)) for length in picture.size)
    small = picture.resize((width, height), Image.Resampling.BOX if factor < 1 else Image.Resampling.BILINEAR)
    left, top = round(x * canvas.width - width / 2), round(y * canvas.height - height / 2)
    box = (max(0, left), max(0, top), min(canvas.width, left + width), min(canvas.height, top + height))
    small = small.crop((box[0] - left, box[1] - top, box[2] - left, box[3] - top))
    under = np.asarray(canvas.crop(box)).astype(np.uint16)
    over = np.asarray(small).astype(np.uint16)
    mixed = over + under * (255 - over[..., 3:]) // 255
    canvas.paste(Image.frombytes("RGBa", small.size, mixed.astype(np.uint8).tobytes()), box)
