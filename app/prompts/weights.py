r"""`a (red:1.2) fox`: weights of words, taken out of a text, in families that draw with them (`prompt_weights`).

As AUTOMATIC1111's web UI writes them (modules/prompt_parser.py, `parse_prompt_attention`)::

    (red)  ((red))   1.1 times as strongly, 1.1² times
    [red]            1.1 times less
    (red:1.2)        1.2 times
    \( \) \[ \] \\   the character itself

Other brackets stay text: what nobody closes or opens, and its schedules `[cat:dog:0.5]`, `[cat|dog]`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby

from core.emphasis import DIGITS, Span, Spans
from core.errors import BadPrompt, OutOfRange

MOST_NESTED = 10
MOST_SPANS = 100
MOST_WEIGHT = 5.0
FACTOR = 1.1  # of a pair of brackets
MARKS = re.compile(r"[()\[\]]")
TOKEN = re.compile(
    r"\\(?P<escaped>[()\[\]\\])|(?P<schedule>\[[^\[\]()]*(?:\|[^\[\]()]*|:\s*(?:\d+\.?\d*|\.\d+)\s*)\])"
    r"|(?P<open>[(\[])|(?P<weight>:\s*(?P<number>[+-]?(?:\d{1,9}\.?\d{0,9}|\.\d{1,9}))\s*\))|(?P<close>[)\]])"
)
PAIRS = {")": "(", "]": "["}


@dataclass
class _Piece:
    text: str
    weight: float = 1.0


def take_weights(text: str, field: str) -> tuple[str, Spans]:
    """A text without its weights, and what they are.

    Raises:
        BadPrompt: more than ten in each other, or more than a hundred.
        OutOfRange: a weight under 0 or over 5.
    """
    if not MARKS.search(text):
        return text, ()
    return _joined(_Reading(field).of(text), field)


class _Reading:
    """Reads from left to right. `open` are the brackets that are open: the place of each in `pieces`."""

    def __init__(self, field: str) -> None:
        self.field, self.pieces, self.open = field, list[_Piece](), list[int]()

    def of(self, text: str) -> list[_Piece]:
        end = 0
        for found in TOKEN.finditer(text):
            self.add(text[end : found.start()])
            end = found.end()
            if found["open"]:
                self.opened(found["open"])
            elif found["weight"] or found["close"]:
                self.closed(found[0], found["number"])
            else:
                self.add(found["escaped"] or found["schedule"])
        self.add(text[end:])
        return self.pieces

    def add(self, text: str) -> None:
        self.pieces.append(_Piece(text))

    def opened(self, bracket: str) -> None:
        if len(self.open) == MOST_NESTED:
            raise BadPrompt(
                f"Weights are nested more than {MOST_NESTED} deep: write (words:1.5), or `\\(` for the character.",
                field=self.field,
            )
        self.open.append(len(self.pieces))
        self.add(bracket)  # text, until it is closed

    def closed(self, closing: str, number: str | None) -> None:
        """A closing bracket, with its number if it has one."""
        bracket = PAIRS[closing[-1]]
        if not self.open or self.pieces[self.open[-1]].text != bracket:
            self.add(closing)
            return
        start = self.open.pop()
        self.pieces[start].text = ""
        factor = float(number) if number else FACTOR if bracket == "(" else 1 / FACTOR
        for piece in self.pieces[start:]:
            piece.weight *= factor


def _joined(pieces: list[_Piece], field: str) -> tuple[str, Spans]:
    """The plain text, white space made single again, and the spans that weigh otherwise than the rest."""
    chars: list[tuple[str, float]] = []
    for char, weight in ((char, round(piece.weight, DIGITS)) for piece in pieces for char in piece.text):
        if char != " " or (chars and chars[-1][0] != " "):
            chars.append((char, weight))
    while chars and chars[-1][0] == " ":
        chars.pop()
    text = "".join(char for char, _ in chars)
    spans, at = list[Span](), 0
    for weight, group in groupby(chars, key=lambda char: char[1]):
        end = at + sum(1 for _ in group)
        words = text[at:end]
        if weight != 1 and words.strip():
            left = len(words) - len(words.lstrip())
            spans.append(Span(at + left, at + left + len(words.strip()), _checked(weight, words, field)))
        at = end
    if len(spans) > MOST_SPANS:
        raise BadPrompt(f"{len(spans)} weights; a text has at most {MOST_SPANS}.", field=field)
    return text, tuple(spans)


def _checked(weight: float, words: str, field: str) -> float:
    if not 0 <= weight <= MOST_WEIGHT:
        raise OutOfRange(
            f"({words.strip()[:80]}:{weight:g}) is outside 0 to {MOST_WEIGHT:g}, brackets around it counted.",
            field=field,
        )
    return weight
