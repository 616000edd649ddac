"""A hundred everyday prompts, and whether a picture shows what its prompt says, by the scorer.

Each prompt is compared with the same words said of something else: of every other thing ("a crab in the snow"), of
another number ("three foxes"), of another place ("a fox on a beach"). What is asked for must score highest, or among
the five highest.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.text import shared_encoder
from families.embedded.clip_scorer import ClipScorer
from families.embedded.recipe import words
from families.embedded.recipe.names import catalogue

FILE = Path(__file__).parent / "everyday.csv"
TOGETHER = 256  # prompts read at once
Reader = Callable[[Sequence[str]], Tensor]  # the scorer's unit vectors (N, space) of N prompts


@dataclass(frozen=True)
class Everyday:
    """A prompt, its kind (thing, place, count, pair), the things as it names them, how many, its ground if any."""

    prompt: str
    kind: str
    things: tuple[str, ...]
    number: int
    ground: str

    def said(self, name: str, number: int | None = None) -> str:
        """How a thing stands in a prompt: "a fox", "three foxes"."""
        number = number or self.number
        return words.article(name) if number == 1 else f"{words.NUMBERS[number]} {words.plural(name)}"

    def of_others(self, thing: str) -> list[str]:
        """The prompt of every name in place of `thing`, which comes first."""
        others = [name.called[0] for name in catalogue() if thing not in name.called]
        plain = self.said(thing) if self.said(thing) in self.prompt else thing  # "a small key" has a word between
        return [self.prompt, *(self._instead(plain, thing, name) for name in others)]

    def _instead(self, plain: str, thing: str, name: str) -> str:
        return self.prompt.replace(plain, name if plain == thing else self.said(name), 1)

    def of_numbers(self) -> list[str]:
        """The prompt of each number from one to four, its own first."""
        (thing,) = self.things
        numbers = [self.number, *(number for number in words.NUMBERS if number != self.number)]
        return [self.prompt.replace(self.said(thing), self.said(thing, number), 1) for number in numbers]

    def in_places(self) -> list[str]:
        """The prompt in each place, its own first."""
        places = {ground.name: ground.phrases for ground in words.GROUNDS if not ground.plain}
        phrase = max((phrase for phrase in places[self.ground] if self.prompt.endswith(phrase)), key=len)
        others = [phrases[0] for name, phrases in places.items() if name != self.ground]
        return [self.prompt, *(self.prompt.removesuffix(phrase) + other for other in others)]


@cache
def everyday() -> tuple[Everyday, ...]:
    """The hundred prompts of `everyday.csv`."""
    with FILE.open(newline="") as file:
        return tuple(
            Everyday(row["prompt"], row["kind"], tuple(row["things"].split("; ")), int(row["number"]), row["ground"])
            for row in csv.DictReader(file)
        )


@torch.inference_mode()
def read(scorer: ClipScorer, prompts: Sequence[str]) -> Tensor:
    """The scorer's unit vectors (N, space) of prompts."""
    found = []
    for start in range(0, len(prompts), TOGETHER):
        states, mask = shared_encoder().tokens(prompts[start : start + TOGETHER])
        longest = int(mask.sum(1).max())
        found.append(scorer.texts(states[:, :longest], mask[:, :longest]))
    return torch.cat(found)


def check(reader: Reader, pictures: Mapping[Everyday, Tensor]) -> dict[str, float]:
    """Shares of what is shown as asked, over prompts and seeds: things (first, and among the first five), counts,
    places.

    Args:
        reader: the family's scorer over prompts.
        pictures: of everyday prompts, the scorer's unit vectors (S, space) of S pictures each.
    """
    ranks: dict[str, list[np.ndarray]] = {"thing": [], "count": [], "place": []}
    for one, vectors in pictures.items():
        for thing in one.things:
            ranks["thing"].append(rank(vectors, reader(one.of_others(thing))))
        if one.kind == "count":
            ranks["count"].append(rank(vectors, reader(one.of_numbers())))
        if one.ground and not _plain(one.ground):
            ranks["place"].append(rank(vectors, reader(one.in_places())))
    shares = {kind: np.concatenate(found) for kind, found in ranks.items()}
    return {
        "things, top-1": float((shares["thing"] < 1).mean()),
        "things, top-5": float((shares["thing"] < 5).mean()),
        "counts": float((shares["count"] < 1).mean()),
        "places": float((shares["place"] < 1).mean()),
    }


def rank(pictures: Tensor, texts: Tensor) -> np.ndarray:
    """For each picture (S, space), how many texts (N, space) are nearer than the first; 0 is best."""
    near = pictures @ texts.T
    return (near > near[:, :1]).sum(1).cpu().numpy()


def _plain(ground: str) -> bool:
    return ground in words.COLOURS
