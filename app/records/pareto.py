"""What each level costs and keeps, with the interval of what it keeps; and which levels no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.schemas.levels import LevelOut, LevelsOut
from core.profiles import QualityTable

NORMAL_95 = 1.96  # standard errors on each side


@dataclass(frozen=True)
class Point:
    """A level on a device: seconds of one request alone, mean relative quality and the 95 % interval of that mean.

    `low` and `high` are the mean itself where there is no table of prompts to take it from. `best`: no other level is
    as quick and as good.
    """

    level: str
    seconds: float
    quality: float
    low: float
    high: float
    prompts: int
    best: bool = False


def points(found: LevelsOut, device: str, table: QualityTable | None = None) -> list[Point]:
    """Every level that was measured on this type of device, the quickest first; intervals are of the quality table."""
    made = [_point(level, device, table) for level in found.levels if device in level.measured]
    return with_best(made)


def with_best(made: Sequence[Point]) -> list[Point]:
    """The same, the quickest first, each knowing whether it is the best for its time."""
    ordered = sorted(made, key=lambda point: (point.seconds, -point.quality))
    return [replace(point, best=not _beaten(point, made)) for point in ordered]


def _point(level: LevelOut, device: str, table: QualityTable | None) -> Point:
    cost = level.measured[device]
    if table is None or level.id not in table.levels or len(table) < 2:
        return Point(level.id, cost.latency_s, cost.quality, cost.quality, cost.quality, 0)
    values = table.column(level.id)
    mean, error = float(values.mean()), float(values.std(ddof=1)) / len(values) ** 0.5
    return Point(
        level.id, cost.latency_s, mean, mean - NORMAL_95 * error, mean + NORMAL_95 * error, prompts=len(values)
    )


def _beaten(point: Point, others: Sequence[Point]) -> bool:
    return any(
        other.seconds <= point.seconds
        and other.quality >= point.quality
        and (other.seconds, other.quality) != (point.seconds, point.quality)
        for other in others
    )
