"""What each level costs and keeps, with the interval of what it keeps; and which levels no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from app.schemas.levels import LevelOut, LevelsOut
from core.profiles import QualityTable

NORMAL_95 = 1.96  # standard errors on each side


@dataclass(frozen=True)
class Point:
    """A level on a device: seconds of one request alone, mean relative quality and the 95 % interval of that mean.

    `low` and `high` are the mean itself where there is no table of prompts to take it from. `beaten_by`: the best of
    the levels that are as quick and as good, where there are any; the level that all are measured against has none.
    """

    level: str
    seconds: float
    quality: float
    low: float
    high: float
    prompts: int
    by_name: bool = False  # nothing plans with it
    reference: bool = False
    beaten_by: str | None = None

    @property
    def best(self) -> bool:
        """Whether it is on the front: no other level is as quick and as good."""
        return self.beaten_by is None

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "best": self.best}


def points(found: LevelsOut, device: str, table: QualityTable | None = None) -> list[Point]:
    """Every level that was measured on this type of device, the quickest first; intervals are of the quality table."""
    made = [_point(level, device, table) for level in found.levels if device in level.measured]
    return with_best(made)


def with_best(made: Sequence[Point]) -> list[Point]:
    """The same, the quickest first, each knowing which one beats it."""
    ordered = sorted(made, key=lambda point: (point.seconds, -point.quality))
    return [replace(point, beaten_by=_beaten_by(point, made)) for point in ordered]


def _point(level: LevelOut, device: str, table: QualityTable | None) -> Point:
    cost = level.measured[device]
    mean, error, prompts = cost.quality, 0.0, 0
    if table is not None and level.id in table.levels and len(table) > 1:
        values = table.column(level.id)
        mean, error, prompts = float(values.mean()), float(values.std(ddof=1)) / len(values) ** 0.5, len(values)
    ends = mean - NORMAL_95 * error, mean + NORMAL_95 * error
    return Point(level.id, cost.latency_s, mean, *ends, prompts, level.by_name, level.reference)


def _beaten_by(point: Point, others: Sequence[Point]) -> str | None:
    better = [
        other
        for other in others
        if other.seconds <= point.seconds
        and other.quality >= point.quality
        and (other.seconds, other.quality) != (point.seconds, point.quality)
    ]
    best = max(better, key=lambda other: (other.quality, -other.seconds), default=None)
    return best.level if best and not point.reference else None
