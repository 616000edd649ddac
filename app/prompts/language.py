r"""`{red|green} apple, __places__`: what a prompt with choices is made of. Read once (`reading.py`), drawn by the seed
(`drawing.py`).

::

    {a|b|c}            one of them; each may have choices of its own, or be empty
    {3::a|b}           a three times as often as b
    {2$$a|b|c}         two different ones, with a comma between; {1-2$$ and $$a|b|c}: one or two, with `and` between
    {2$$__colours__}   two different lines of a file
    __animals/cats__   a line of animals/cats.txt in the folder of wildcards (`wildcards.py`), __animals/*__ of all
    ${x=!{a|b}} ${x}   a variable: drawn at once and the same each time; without `!` drawn anew at each use
    \{ \} \| \_        the character itself

The syntax is that of A1111's extension dynamic-prompts (adieyal/sd-dynamic-prompts, docs/SYNTAX.md), but braces without
`|` or `$$` stay as they are, and so does a prompt that is JSON: people draw what programs and TeX write, too. What else
the extension knows (`{!`, `{@`, `%{`) is refused in words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

JOINED_BY = ", "
ALL = 1_000_000  # alternatives: a bound that was left out


@dataclass(frozen=True)
class Lines:
    """The lines of wildcards' files, and their weights added up from the first to each."""

    texts: Sequence[str]
    weights: Sequence[float]

    @staticmethod
    def of(texts: Sequence[str], weights: Sequence[float]) -> Lines:
        """Lines, each with its weight."""
        return Lines(texts, list(accumulate(weights)))

    def each(self) -> list[float]:
        """Weights one by one."""
        return [after - before for before, after in pairwise((0.0, *self.weights))]


@dataclass(frozen=True)
class Wildcard:
    """A line of a file, or of several; `given` are variables for its lines."""

    name: str
    given: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Variable:
    """The value of a variable, and the text that stands in where none is set."""

    name: str
    default: Text | None = None
    nested: int = 1


@dataclass(frozen=True)
class Setting:
    """A variable is set from here on; `at_once`: drawn here, and the same at each use. `kept`: unless it is set."""

    name: str
    value: Text
    at_once: bool
    kept: bool
    nested: int = 1


@dataclass(frozen=True)
class Choice:
    """`least` to `most` of these alternatives, each a text with choices of its own, drawn by weight."""

    alternatives: tuple[Text, ...]
    weights: tuple[float, ...]
    least: int = 1
    most: int = 1
    joined_by: str = JOINED_BY
    nested: int = 1  # parts in each other, this one counted

    @property
    def wildcard(self) -> Wildcard | None:
        """The wildcard of which several lines are drawn, where nothing else is to choose from."""
        only = self.alternatives[0] if len(self.alternatives) == 1 else ()
        return only[0] if len(only) == 1 and isinstance(only[0], Wildcard) else None


Part = str | Wildcard | Choice | Variable | Setting
Text = tuple[Part, ...]
Find = Callable[[str], Lines]  # by a wildcard's name
