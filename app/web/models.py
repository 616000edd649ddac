"""`/models`: the family served, its levels with what was measured of them, and the front of quality over seconds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flask import render_template, request

from app.access import needs
from app.records.levels import levels_out, quality_table
from app.records.pareto import Point, points
from app.web.blueprint import blueprint
from app.web.charts import level_classes
from app.web.levels import title
from core.database import transaction
from core.families import load_family
from core.keys import Scope
from core.settings import settings

WIDTH, HEIGHT = 640.0, 320.0
LEFT, RIGHT, TOP, BOTTOM = 56.0, 110.0, 16.0, 40.0  # room for axes, and for the last name


@dataclass(frozen=True)
class Mark:
    """A point in the plot, with the ends of its interval; `name_y` is where its name stands, apart from others."""

    point: Point
    css: str
    x: float
    y: float
    low: float
    high: float
    name_y: float


@dataclass(frozen=True)
class Plot:
    """Marks, the front through the best of them, and the values along both axes."""

    marks: tuple[Mark, ...]
    front: str
    seconds: tuple[tuple[float, float], ...]  # place and value
    qualities: tuple[tuple[float, float], ...]


@blueprint.get("/models")
@needs(Scope.READ)
def models() -> str:
    """The page; `?device=` chooses among the types of device that have worked here."""
    family = load_family(settings().family)
    with transaction() as session:
        found = levels_out(session, family)
    devices = sorted({device for level in found.levels for device in level.measured})
    device = request.args.get("device", "")
    device = device if device in devices else next(iter(devices), "")
    measured = points(found, device, quality_table(family))
    titles = {level.id: title(level, found) for level in found.levels}
    return render_template(
        "models.html",
        found=found,
        devices=devices,
        device=device,
        titles=titles,
        points={point.level: point for point in measured},
        plot=plot(measured) if measured else None,
    )


def plot(measured: Sequence[Point]) -> Plot:
    """Seconds to the right, by their logarithm, for levels differ by factors; quality upwards."""
    times = [point.seconds for point in measured]
    left, right = math.log(min(times) / 1.3), math.log(max(times) * 1.3)
    low = min(0.95, math.floor(20 * min(point.low for point in measured)) / 20)
    high = max(1.0, *(point.high for point in measured))

    def across(seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log(seconds) - left) / (right - left)

    def down(quality: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - quality) / (high - low)

    classes = level_classes([point.level for point in measured])
    marks, names = [], list[float]()
    for point in sorted(measured, key=lambda point: -point.quality):
        name_y = down(point.quality)
        while any(abs(name_y - other) < 14 for other in names):
            name_y += 2
        names.append(name_y)
        ends = (down(point.low), down(point.high))
        marks.append(
            Mark(point, classes[point.level], across(point.seconds), down(point.quality), *ends, name_y=name_y)
        )
    best = [point for point in measured if point.best]  # the quickest first
    front = " ".join(f"{across(point.seconds):.1f},{down(point.quality):.1f}" for point in best)
    return Plot(tuple(marks), front, _ticks(times, across), tuple((down(q), q) for q in _steps(low, high)))


def _ticks(times: Sequence[float], across: Callable[[float], float]) -> tuple[tuple[float, float], ...]:
    """1, 2, 5 of every power of ten within the times."""
    powers = range(math.floor(math.log10(min(times))), math.ceil(math.log10(max(times))) + 1)
    values = [step * 10.0**power for power in powers for step in (1, 2, 5)]
    return tuple((across(v), v) for v in values if min(times) / 1.3 <= v <= max(times) * 1.3)


def _steps(low: float, high: float) -> list[float]:
    step = 0.05 if high - low > 0.12 else 0.02
    return [low + step * n for n in range(int((high - low) / step) + 1)]
