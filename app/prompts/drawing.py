"""A prompt with its choices made: by the seed."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from app.prompts.language import Choice, Find, Part, Setting, Text, Variable, Wildcard
from app.prompts.reading import MOST_NESTED, NESTED, read
from core.errors import BadPrompt

MOST_CHOICES = 100  # drawn for one prompt
MOST_CHARS = 20_000  # of what they make of it


def draw(prompt: str, seed: int, find: Find) -> str:
    """The prompt with its choices made: by its text and the seed alone, as long as the wildcards' files are the same.

    Raises:
        BadPrompt: nested too deeply, too many choices, too long, nothing to choose from, a variable that is not set;
            what `find` raises.
    """
    text = read(prompt)
    if all(isinstance(part, str) for part in text):
        return "".join(map(str, text))
    return _Drawing(prompt, seed, find).of(text, 0)


class _Drawing:
    """Makes the choices of one prompt, in the order in which they stand."""

    def __init__(self, prompt: str, seed: int, find: Find) -> None:
        self.key, self.find, self.choices = f"{seed} {prompt}", find, 0
        self.variables: dict[str, Text] = {}

    def of(self, text: Text, depth: int) -> str:
        if depth > MOST_NESTED:
            raise BadPrompt(NESTED)
        drawn = "".join(part if isinstance(part, str) else self.one(part, depth + 1) for part in text)
        if len(drawn) > MOST_CHARS:
            raise BadPrompt(f"The choices make more than {MOST_CHARS:,} characters.")
        return drawn

    def one(self, part: Part, depth: int) -> str:
        match part:
            case Wildcard():
                lines = self.find(part.name)
                return self.line(part, lines.texts[self.pick(lines.weights)], depth)
            case Choice():
                return part.joined_by.join(self.several(part, depth))
            case Setting():
                self.set(part, depth)
                return ""
            case Variable():
                return self.value(part, depth)
            case _:
                return part

    def line(self, wildcard: Wildcard, line: str, depth: int) -> str:
        """A line, with the variables that are given to it."""
        outside = self.variables
        self.variables = outside | {name: (value,) for name, value in wildcard.given}
        try:
            return self.of(read(line), depth)
        finally:
            self.variables = outside

    def several(self, choice: Choice, depth: int) -> list[str]:
        """Different alternatives of a choice, or different lines of a file."""
        if wildcard := choice.wildcard:
            lines = self.find(wildcard.name)
            weights = lines.each()
        else:
            weights = list(choice.weights)
        left, drawn = list(range(len(weights))), list[str]()
        most = min(choice.most, len(weights))
        for _ in range(self.count(min(choice.least, most), most)):
            if not any(weights):
                break
            at = self.pick(list(accumulate(weights)))
            weights.pop(at)
            number = left.pop(at)
            drawn.append(
                self.line(wildcard, lines.texts[number], depth)
                if wildcard
                else self.of(choice.alternatives[number], depth)
            )
        return drawn

    def set(self, setting: Setting, depth: int) -> None:
        self.spend()
        if not (setting.kept and setting.name in self.variables):
            value = (self.of(setting.value, depth),) if setting.at_once else setting.value
            self.variables = self.variables | {setting.name: value}

    def value(self, variable: Variable, depth: int) -> str:
        self.spend()
        value = self.variables.get(variable.name, variable.default)
        if value is None:
            name = variable.name
            raise BadPrompt(
                f"No variable `{name}` is set before `${{{name}}}`: set it with `${{{name}=…}}`, or for the text "
                rf"itself write `$\{{{name}\}}`."
            )
        return self.of(value, depth)

    def count(self, least: int, most: int) -> int:
        """How many alternatives to draw."""
        numbers = range(least, most + 1)
        return numbers[self.pick(range(1, len(numbers) + 1))] if len(numbers) > 1 else least

    def spend(self) -> None:
        """One choice more, or one use of a variable: what they make has a bound."""
        self.choices += 1
        if self.choices > MOST_CHOICES:
            raise BadPrompt(f"More than {MOST_CHOICES} choices are to be made for one prompt.")

    def pick(self, weights: Sequence[float]) -> int:
        """One of so many, by weights added up: a hash of prompt, seed and the choice's number, alike everywhere."""
        self.spend()
        digest = hashlib.sha256(f"{self.choices} {self.key}".encode("utf-8", "replace")).digest()
        return min(bisect_right(weights, int.from_bytes(digest[:6]) / 2**48 * weights[-1]), len(weights) - 1)
