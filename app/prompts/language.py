"""`{red|green} apple, __places__`: a prompt with choices, read once, drawn by the seed.

::

    {a|b|c}            one of them; each may have choices of its own, or be empty
    {3::a|b}           a three times as often as b
    {2$$a|b|c}         two different ones, with a comma between; {1-2$$ and $$a|b|c}: one or two, with `and` between
    __animals/cats__   a line of the file animals/cats.txt in the folder of wildcards (`wildcards.py`)
    \\{ \\} \\| \\_        the character itself

The syntax is that of A1111's extension dynamic-prompts, but braces without `|` stay as they are, and so does a prompt
that is JSON: people draw what programs and TeX write, too.
"""

from __future__ import annotations

import hashlib
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from core.errors import BadPrompt

MOST_NESTED = 10
NESTED = f"Choices are nested more than {MOST_NESTED} deep, or a wildcard names itself."
MOST_CHOICES = 100  # drawn for one prompt
MOST_CHARS = 20_000  # of what they make of it
SPECIAL = re.compile(r"\\(?P<escaped>[{}|_])|(?P<mark>[{}|])|__(?=[^\s_])(?P<name>[\w ./*~:-]{1,200}?)(?<=[^\s_])__")
MARKS = re.compile(r"[{}\\]|__")
PICK = re.compile(r"(\d{1,3})(?:-(\d{1,3}))?\$\$(?:([^{}|$]*)\$\$)?")
WEIGHT = re.compile(r"\s*(\d{1,6}(?:\.\d{1,6})?|\.\d{1,6})::")
JOINED_BY = ", "


@dataclass(frozen=True)
class Lines:
    """The lines of a wildcard's file, and their weights added up from the first to each."""

    texts: Sequence[str]
    weights: Sequence[float]

    @staticmethod
    def of(lines: Sequence[str]) -> Lines:
        """`3::red` is red with weight 3."""
        marks = [WEIGHT.match(line) for line in lines]
        texts = [line[mark.end() :] if mark else line for line, mark in zip(lines, marks, strict=True)]
        return Lines(texts, list(accumulate(float(mark[1]) if mark else 1.0 for mark in marks)))


@dataclass(frozen=True)
class Wildcard:
    """A line of a file."""

    name: str


@dataclass(frozen=True)
class Choice:
    """`least` to `most` of these alternatives, each a text with choices of its own, drawn by weight."""

    alternatives: tuple[Text, ...]
    weights: tuple[float, ...]
    least: int = 1
    most: int = 1
    joined_by: str = JOINED_BY
    nested: int = 1  # choices in each other, this one counted


Text = tuple[str | Wildcard | Choice, ...]
Find = Callable[[str], Lines]  # by a wildcard's name


def draw(prompt: str, seed: int, find: Find) -> str:
    """The prompt with its choices made: by its text and the seed alone, as long as the wildcards' files are the same.

    Raises:
        BadPrompt: nested too deeply, too many choices, too long, nothing to choose from; what `find` raises.
    """
    text = read(prompt)
    if all(isinstance(part, str) for part in text):
        return "".join(map(str, text))
    return _Drawing(prompt, seed, find).of(text, 0)


@lru_cache(maxsize=16)  # a prompt is drawn for each of its seeds
def read(prompt: str) -> Text:
    """A prompt's parts; raises `BadPrompt`."""
    if not MARKS.search(prompt) or _is_json(prompt):
        return (prompt,)
    return _Reading().of(prompt)


def _is_json(prompt: str) -> bool:
    if not prompt.startswith(("{", "[")):
        return False
    try:
        json.loads(prompt)
    except (ValueError, RecursionError):
        return False
    return True


class _Reading:
    """Reads from left to right. `groups` are the braces that are open: the parts between their bars."""

    def __init__(self) -> None:
        self.groups: list[list[list[str | Wildcard | Choice]]] = [[[]]]

    def of(self, prompt: str) -> Text:
        end = 0
        for found in SPECIAL.finditer(prompt):
            self.add(prompt[end : found.start()])
            end = found.end()
            if found["mark"]:
                self.mark(found["mark"])
            else:
                self.add(found["escaped"] or Wildcard(found["name"]))
        self.add(prompt[end:])
        while len(self.groups) > 1:  # braces that nobody closed
            self.literal("{", "")
        return tuple(self.groups[0][0])

    def add(self, *parts: str | Wildcard | Choice) -> None:
        self.groups[-1][-1].extend(part for part in parts if part != "")

    def mark(self, mark: str) -> None:
        if mark == "{":
            self.groups.append([[]])
        elif len(self.groups) == 1:
            self.add(mark)
        elif mark == "|":
            self.groups[-1].append([])
        elif len(self.groups[-1]) == 1:
            self.literal("{", "}")
        else:
            self.add(_choice(self.groups.pop()))

    def literal(self, opening: str, closing: str) -> None:
        """The braces opened last are no choice: their parts belong to what is around them."""
        first, *others = self.groups.pop()
        self.add(opening, *first)
        for part in others:
            self.add("|", *part)
        self.add(closing)


def _choice(alternatives: list[list[str | Wildcard | Choice]]) -> Choice:
    least, most, joined_by = 1, 1, JOINED_BY
    first = alternatives[0][0] if alternatives[0] else ""
    if isinstance(first, str) and (pick := PICK.match(first)):
        least, most = int(pick[1]), int(pick[2] or pick[1])
        joined_by = JOINED_BY if pick[3] is None else pick[3]
        alternatives[0][0] = first[pick.end() :]
    weights, texts = zip(*map(_weighted, alternatives), strict=True)
    if not any(weights):
        raise BadPrompt("All alternatives of a choice in braces have the weight 0: none could be drawn.")
    nested = 1 + max((part.nested for text in texts for part in text if isinstance(part, Choice)), default=0)
    if nested > MOST_NESTED:
        raise BadPrompt(NESTED)
    return Choice(texts, weights, min(least, most), max(least, most), joined_by, nested)


def _weighted(parts: list[str | Wildcard | Choice]) -> tuple[float, Text]:
    """`3::red` is red with weight 3."""
    if parts and isinstance(parts[0], str) and (found := WEIGHT.match(parts[0])):
        return float(found[1]), (parts[0][found.end() :], *parts[1:])
    return 1.0, tuple(parts)


class _Drawing:
    """Makes the choices of one prompt, in the order in which they stand."""

    def __init__(self, prompt: str, seed: int, find: Find) -> None:
        self.key, self.find, self.choices = f"{seed} {prompt}", find, 0

    def of(self, text: Text, depth: int) -> str:
        if depth > MOST_NESTED:
            raise BadPrompt(NESTED)
        drawn = "".join(part if isinstance(part, str) else self.one(part, depth) for part in text)
        if len(drawn) > MOST_CHARS:
            raise BadPrompt(f"The choices make more than {MOST_CHARS:,} characters.")
        return drawn

    def one(self, part: Wildcard | Choice, depth: int) -> str:
        if isinstance(part, Wildcard):
            lines = self.find(part.name)
            return self.of(read(lines.texts[self.pick(lines.weights)]), depth + 1)
        count, drawn = self.count(part), list[str]()
        left = list(zip(part.weights, part.alternatives, strict=True))
        while len(drawn) < count and any(weight for weight, _ in left):
            _, text = left.pop(self.pick(list(accumulate(weight for weight, _ in left))))
            drawn.append(self.of(text, depth + 1))
        return part.joined_by.join(drawn)

    def count(self, choice: Choice) -> int:
        """How many alternatives to draw."""
        numbers = range(choice.least, choice.most + 1)
        return numbers[self.pick(range(1, len(numbers) + 1))] if len(numbers) > 1 else choice.least

    def pick(self, weights: Sequence[float]) -> int:
        """One of so many, by weights added up: a hash of prompt, seed and the choice's number, alike everywhere."""
        self.choices += 1
        if self.choices > MOST_CHOICES:
            raise BadPrompt(f"More than {MOST_CHOICES} choices are to be made for one prompt.")
        digest = hashlib.sha256(f"{self.choices} {self.key}".encode("utf-8", "replace")).digest()
        return bisect_right(weights, int.from_bytes(digest[:6]) / 2**48 * weights[-1])
