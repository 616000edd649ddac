"""A prompt's parts, read from left to right (`language.py` says what they are)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from app.prompts.language import ALL, JOINED_BY, Choice, Lines, Part, Setting, Text, Variable, Wildcard
from core.errors import BadPrompt

MOST_NESTED = 10
NESTED = f"Choices are nested more than {MOST_NESTED} deep, or a wildcard or variable names itself."
SPECIAL = re.compile(
    r"\\(?P<escaped>[{}|_])|(?P<mark>\$?\{|[}|])"
    r"|__(?=[^\s_])(?P<name>[\w ./*?~!@:-]{1,200}?)(?P<given>\([^()]{0,500}\))?(?<=[^\s_])__"
)
MARKS = re.compile(r"[{}\\]|__")
BOUNDS = r"(?:(?P<least>\d{1,3})(?P<to>-(?P<most>\d{1,3})?)?|-(?P<upto>\d{1,3}))\$\$"
PICK = re.compile(BOUNDS + r"(?:(?P<joined_by>[^{}|$]*)\$\$)?")
BAR = re.compile(BOUNDS + r"(?P<before>[^{}|$]*)")  # {2$$ | $$a|b}: the bar is what stands between them
AFTER_BAR = re.compile(r"([^{}|$]*)\$\$")
WEIGHT = re.compile(r"\s*(\d{1,6}(?:\.\d{0,6})?|\.\d{1,6})::")
NAME = r"\s*(?P<name>[A-Za-z_][\w-]{0,50})\s*"
SET = re.compile(NAME + r"(?P<kept>\?)?=(?P<at_once>!)?")
USE = re.compile(NAME + r"(?P<default>:)?")
AS_TEXT = r"For the text itself write `\{`, or send `literal`."


@lru_cache(maxsize=16)  # a prompt is drawn for each of its seeds
def read(prompt: str) -> Text:
    """A prompt's parts; raises `BadPrompt`."""
    if not MARKS.search(prompt) or _is_json(prompt):
        return (prompt,)
    return _Reading().of(prompt)


def read_lines(lines: Sequence[str]) -> Lines:
    """Lines of files: `3::red` is red with weight 3."""
    marks = [WEIGHT.match(line) for line in lines]
    texts = [line[mark.end() :] if mark else line for line, mark in zip(lines, marks, strict=True)]
    return Lines.of(texts, [float(mark[1]) if mark else 1.0 for mark in marks])


def _is_json(prompt: str) -> bool:
    if not prompt.startswith(("{", "[")):
        return False
    try:
        json.loads(prompt)
    except (ValueError, RecursionError):
        return False
    return True


@dataclass
class _Group:
    """Braces that are open: how they were opened, and the parts between their bars."""

    opening: str = ""
    alternatives: list[list[Part]] = field(default_factory=lambda: [[]])

    @property
    def head(self) -> str:
        """The text right behind the brace."""
        first = self.alternatives[0]
        return first[0] if first and isinstance(first[0], str) else ""

    def cut(self, chars: int) -> None:
        """Leave out so many characters of it."""
        if chars:
            self.alternatives[0][0] = self.head[chars:]


class _Reading:
    """Reads from left to right; `groups` are the braces that are open."""

    def __init__(self) -> None:
        self.groups = [_Group()]

    def of(self, prompt: str) -> Text:
        end = 0
        for found in SPECIAL.finditer(prompt):
            self.add(prompt[end : found.start()])
            end = found.end()
            if found["mark"]:
                self.mark(found["mark"])
            else:
                self.add(found["escaped"] or _wildcard(found["name"], found["given"]))
        self.add(prompt[end:])
        while len(self.groups) > 1:  # braces that nobody closed
            self.literal("")
        return tuple(self.groups[0].alternatives[0])

    def add(self, *parts: Part) -> None:
        self.groups[-1].alternatives[-1].extend(part for part in parts if part != "")

    def mark(self, mark: str) -> None:
        if mark.endswith("{"):
            self.groups.append(_Group(mark))
        elif len(self.groups) == 1:
            self.add(mark)
        elif mark == "|":
            self.groups[-1].alternatives.append([])
        else:
            self.close()

    def close(self) -> None:
        """The braces opened last are a variable, a choice, or text."""
        group = self.groups[-1]
        if group.opening == "${" and (part := _variable(group)):
            self.groups.pop()
            self.add(part)
            return
        if len(group.alternatives) == 1 and not PICK.match(group.head):
            self.refuse_wraps(group)
            self.literal("}")
            return
        self.groups.pop()
        self.add(group.opening[:-1], _choice(group))

    def refuse_wraps(self, group: _Group) -> None:
        before = self.groups[-2].alternatives[-1]
        if "$$" in group.head and before and str(before[-1]).endswith("%"):
            raise BadPrompt(f"Wraps such as `%{{a ... b$$c}}` of dynamic-prompts are not there. {AS_TEXT}")

    def literal(self, closing: str) -> None:
        """The braces opened last are text: their parts belong to what is around them."""
        group = self.groups.pop()
        first, *others = group.alternatives
        self.add(group.opening, *first)
        for part in others:
            self.add("|", *part)
        self.add(closing)


def _wildcard(name: str, given: str | None) -> Wildcard:
    """`__colours__`, `__~colours__`, `__clothes(season=winter, of=wool)__`."""
    if name[0] in "!@":
        raise BadPrompt(f"`__{name[0]}`: {_in_turn(name[0])} For the text itself write `\\_\\_`.")
    pairs = [pair.partition("=") for pair in given[1:-1].split(",")] if given else []
    if not all(name.strip() and equals for name, equals, _ in pairs):
        raise BadPrompt(f"`__{name}{given}__`: variables of a wildcard are written (name=value, other=value).")
    return Wildcard(name.removeprefix("~").strip("/ "), tuple((key.strip(), value.strip()) for key, _, value in pairs))


def _in_turn(mark: str) -> str:
    how = "every combination" if mark == "!" else "one after the other"
    return f"it draws {how} in dynamic-prompts; here the seed draws: leave `{mark}` out, and ask for more images."


def _variable(group: _Group) -> Part | None:
    """`${x=a}`, `${x=!a}`, `${x?=a}` set, `${x}` and `${x:a}` use; none where the braces are something else."""
    if found := SET.match(group.head):
        if len(group.alternatives) > 1:
            raise BadPrompt(
                f"`${{{found['name']}=…}}`: write alternatives of a variable in braces of their own, {{a|b}}."
            )
        group.cut(found.end())
        value = _parts(group.alternatives[0])
        return Setting(found["name"], value, bool(found["at_once"]), bool(found["kept"]), _nested([value]))
    found = USE.match(group.head)
    if found is None or len(group.alternatives) > 1:
        return None
    if not found["default"]:
        whole = found.end() == len(group.head) and len(group.alternatives[0]) == 1
        return Variable(found["name"]) if whole else None
    group.cut(found.end())
    default = _parts(group.alternatives[0])
    return Variable(found["name"], default, _nested([default]))


def _choice(group: _Group) -> Choice:
    if group.head[:1] in ("!", "@") and len(group.alternatives) > 1:
        raise BadPrompt(f"`{{{group.head[0]}`: {_in_turn(group.head[0])} {AS_TEXT}")
    group.cut(int(group.head.startswith("~")))
    least, most, joined_by = _picked(group)
    weights, texts = zip(*map(_weighted, group.alternatives), strict=True)
    if not any(weights):
        raise BadPrompt("All alternatives of a choice in braces have the weight 0: none could be drawn.")
    return Choice(texts, weights, min(least, most), max(least, most), joined_by, _nested(texts))


def _picked(group: _Group) -> tuple[int, int, str]:
    """How many alternatives at least and at most, and what stands between them; taken out of the text."""
    bar = BAR.fullmatch(group.head) if len(group.alternatives[0]) == 1 else None
    second = group.alternatives[1][0] if bar and len(group.alternatives) > 1 and group.alternatives[1] else ""
    if bar and isinstance(second, str) and (after := AFTER_BAR.match(second)):
        group.alternatives[:2] = [[second[after.end() :], *group.alternatives[1][1:]]]
        return (*_bounds(bar), f"{bar['before']}|{after[1]}")
    if pick := PICK.match(group.head):
        group.cut(pick.end())
        return (*_bounds(pick), JOINED_BY if pick["joined_by"] is None else pick["joined_by"])
    return 1, 1, JOINED_BY


def _bounds(found: re.Match[str]) -> tuple[int, int]:
    """`2`, `1-2`, `1-`, `-2`."""
    if found["upto"]:
        return 1, int(found["upto"])
    least = int(found["least"])
    return least, int(found["most"] or (ALL if found["to"] else least))


def _weighted(parts: list[Part]) -> tuple[float, Text]:
    """`3::red` is red with weight 3."""
    if parts and isinstance(parts[0], str) and (found := WEIGHT.match(parts[0])):
        return float(found[1]), _parts([parts[0][found.end() :], *parts[1:]])
    return 1.0, _parts(parts)


def _parts(parts: Sequence[Part]) -> Text:
    return tuple(part for part in parts if part != "")


def _nested(texts: Sequence[Text]) -> int:
    """How many parts stand in each other, with the one around these; raises `BadPrompt`."""
    nested = 1 + max((getattr(part, "nested", 0) for text in texts for part in text), default=0)
    if nested > MOST_NESTED:
        raise BadPrompt(NESTED)
    return nested
