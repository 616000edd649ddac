"""Charts as SVG, drawn on the server: the geometry of areas and lines. Colours are classes of the style sheet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.web import filters

WIDTH, HEIGHT = 600.0, 150.0
SHADES = 3  # of one colour, for levels of the same strategy
Values = Sequence[float | None]


@dataclass(frozen=True)
class Shape:
    """A series as it is drawn: an area (a polygon) or a line (pieces, for there may be gaps)."""

    name: str
    css: str
    points: tuple[str, ...]


@dataclass(frozen=True)
class Chart:
    """Shapes over the same slots. `top` is the value at the upper edge; `slots` what each says, for a pointer."""

    title: str
    unit: str
    areas: tuple[Shape, ...]
    lines: tuple[Shape, ...]
    top: float
    low: float
    slots: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        return not any(shape.points for shape in (*self.areas, *self.lines))


def chart(
    title: str,
    unit: str,
    clocks: Sequence[str],
    areas: Mapping[str, tuple[str, Values]],
    lines: Mapping[str, tuple[str, Values]],
    low: float = 0.0,
    digits: int = 1,
    top: float | None = None,
) -> Chart:
    """Areas stacked in their order, lines over them; each series is a class and its values.

    `low` is the lower edge, `top` the upper; left out a round number that is not below what is drawn. What is beyond an
    edge is drawn at it.
    """
    sums = [sum(values[slot] or 0.0 for _, values in areas.values()) for slot in range(len(clocks))]
    highest = max([*sums, *(value for _, values in lines.values() for value in values if value is not None)], default=0)
    if top is None:
        top = ceiling(highest) if highest > low else ceiling(low + 1e-9)
    said = {name: values for some in (areas, lines) for name, (_, values) in some.items()}
    slots = tuple(_said(clock, slot, said, unit, digits) for slot, clock in enumerate(clocks))
    return Chart(
        title, unit, stacked(areas, top), tuple(_line(*one, low, top) for one in lines.items()), top, low, slots
    )


def stacked(areas: Mapping[str, tuple[str, Values]], top: float) -> tuple[Shape, ...]:
    """Each series as a polygon on the sum of those before it; series without a value above 0 are left out."""
    found, floor = [], [0.0] * max((len(values) for _, values in areas.values()), default=0)
    for name, (css, values) in areas.items():
        upper = [low + (value or 0.0) for low, value in zip(floor, values, strict=True)]
        if any(values):
            edge = [*_places(upper, 0.0, top), *reversed(_places(floor, 0.0, top))]
            found.append(Shape(name, css, (" ".join(edge),)))
        floor = upper
    return tuple(found)


def _line(name: str, series: tuple[str, Values], low: float, top: float) -> Shape:
    """Pieces between gaps; a value alone between two is drawn as a short stroke."""
    css, values = series
    pieces: list[list[str]] = [[]]
    for slot, value in enumerate(values):
        if value is None:
            pieces.append([])
        else:
            pieces[-1] += _steps(slot, len(values), value, low, top)
    return Shape(name, css, tuple(" ".join(piece) for piece in pieces if piece))


def _places(values: Sequence[float], low: float, top: float) -> list[str]:
    return [place for slot, value in enumerate(values) for place in _steps(slot, len(values), value, low, top)]


def _steps(slot: int, slots: int, value: float, low: float, top: float) -> list[str]:
    """Both ends of a slot at its value: counts hold for the whole slot."""
    y = HEIGHT - HEIGHT * (min(max(value, low), top) - low) / (top - low)
    return [f"{WIDTH * x / slots:.1f},{y:.1f}" for x in (slot, slot + 1)]


def _said(clock: str, slot: int, series: Mapping[str, Values], unit: str, digits: int) -> str:
    parts = [f"{name} {filters.number(values[slot], digits)}" for name, values in series.items() if values[slot]]
    return f"{clock}: {', '.join(parts) or 'nothing'} {unit}".strip()


def ceiling(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, … that is not below."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= value * (1 - 1e-9))


def level_classes(levels: Sequence[str]) -> dict[str, str]:
    """A class for each level: its strategy's colour, in a shade of its own where several share it."""
    seen: dict[str, int] = {}
    found = {}
    for level in levels:
        strategy = filters.strategy_of(level)
        found[level] = f"{strategy} shade{seen.get(strategy, 0) % SHADES}"
        seen[strategy] = seen.get(strategy, 0) + 1
    return found
