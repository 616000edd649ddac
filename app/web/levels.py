"""What each level costs and loses, in words, from what was measured of it on the devices that work here."""

from __future__ import annotations

from dataclasses import dataclass

from app.schemas.levels import LevelOut, LevelsOut, MeasuredOut
from app.web import filters

NOT_MEASURED = "not measured on a device of this Argus yet"
SMALLEST = 0.0005  # of quality: what is nearer to 1 than this is not told apart from it


@dataclass(frozen=True)
class Choice:
    """A level as the form offers it."""

    id: str
    strategy: str
    title: str
    words: str
    by_name: bool  # auto never takes it


def choices(found: LevelsOut) -> list[Choice]:
    """Every level of the family served, in its order."""
    reference = next((level for level in found.levels if level.reference), None)
    return [
        Choice(level.id, level.strategy, title(level, found), words(level, reference), level.by_name)
        for level in found.levels
    ]


def title(level: LevelOut, found: LevelsOut) -> str:
    """What the level does."""
    steps = f", {level.steps - level.steps_skipped} of {found.defaults['steps']:.0f} steps"
    counted = level.strategy in ("fs", "ac", "sm") and level.steps - level.steps_skipped != found.defaults["steps"]
    return filters.strategy_title(level.strategy) + (steps if counted else "")


def words(level: LevelOut, reference: LevelOut | None) -> str:
    """`about 3 s less, loses about 2 % of likeness to the prompt`; of several types of device, on the slowest."""
    mine = slowest(level)
    if not mine:
        return NOT_MEASURED
    if level.reference:
        return f"about {filters.seconds(mine.latency_s)}; what all others are measured against"
    whole = slowest(reference) if reference else None
    return f"{_time(mine, whole)}, {_loss(mine.quality)}"


def slowest(level: LevelOut) -> MeasuredOut | None:
    """What was measured on the type of device that takes longest."""
    return max(level.measured.values(), key=lambda cost: cost.latency_s, default=None)


def _time(mine: MeasuredOut, whole: MeasuredOut | None) -> str:
    if not whole:
        return f"about {filters.seconds(mine.latency_s)}"
    saved = whole.latency_s - mine.latency_s
    if abs(saved) < 0.05 * whole.latency_s:
        return "takes as long"
    return f"about {filters.seconds(abs(saved))} {'less' if saved > 0 else 'more'}"


def _loss(quality: float) -> str:
    lost = 1 - quality
    if lost <= SMALLEST:
        return "loses nothing that was measured"
    return f"loses about {filters.percent(lost, 1 if lost < 0.095 else 0)} of likeness to the prompt"
