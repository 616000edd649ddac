"""How pages write numbers and times."""

from __future__ import annotations

from datetime import UTC, datetime

NONE = "–"
UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
STRATEGIES = {
    "exact": "the exact model, all steps",
    "ac": "starts from a similar prompt's cached latent",
    "sm": "a smaller model",
    "fc": "feature cache",
    "cq": "reuses deep features between steps",
    "fs": "fewer steps",
    "sub": "begins at half the size",
}


def seconds(value: float | None) -> str:
    """`0.42 s`, `3.1 s`, `2 min`, `2 min 5 s`, `1 h 3 min`."""
    if value is None:
        return NONE
    if value < 60:
        return f"{value:.2f} s" if value < 1 else f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min")) if hours else ((minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def signed_seconds(value: float | None) -> str:
    """`3.1 s`, `−2 min`."""
    return f"−{seconds(-value)}" if value is not None and value < 0 else seconds(value)


def ago(time: datetime | None) -> str:
    """`12 s ago`."""
    if time is None:
        return NONE
    passed = max(0.0, (datetime.now(UTC) - time).total_seconds())
    if passed < 1:
        return "just now"
    unit, name = next((unit, name) for unit, name in UNITS if passed >= unit)
    return f"{passed / unit:.0f} {name} ago"


def percent(share: float | None, digits: int = 0) -> str:
    """A share of 1 as `12 %`."""
    return NONE if share is None else f"{100 * share:.{digits}f} %"


def number(value: float | None, digits: int = 2) -> str:
    """A number with so many decimals, thousands set apart."""
    return NONE if value is None else f"{value:,.{digits}f}"


def strategy_of(level: str | None) -> str:
    """The strategy that a level's id begins with; pages colour levels by it."""
    head = (level or "").split("-")[0]
    return head if head in STRATEGIES else "other"


def strategy_title(strategy: str) -> str:
    """A strategy in words; of several joined, each."""
    return ", ".join(STRATEGIES.get(part, part) for part in strategy.split("+"))


def plural(count: int, noun: str) -> str:
    """`1 image`, `12,000 images`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


ALL = (seconds, signed_seconds, ago, percent, number, plural, strategy_of, strategy_title)
