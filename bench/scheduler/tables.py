"""Tables of the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bench.scheduler.intervals import figure, shown, verdict

AGAIN = "To be run again: the figures that are kept have no intervals."
Goal = tuple[str, str, str]  # what was to be reached, the figure, whether it was


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines)


def percent(value: float, digits: int = 2) -> str:
    return f"{100 * value:.{digits}f}"


def goal(text: str, reached: bool, figure: str) -> Goal:
    return text, figure, "reached" if reached else "**not reached**"


def shown_goal(text: str, margin: np.ndarray, told: str) -> Goal:
    """A goal with an interval: reached where it clears the goal, not shown where it straddles it."""
    return text, told, verdict(margin)


def goals(rows: Iterable[Goal]) -> str:
    return table(("goal", "figure", ""), rows)


def times(more: np.ndarray, fewer: np.ndarray) -> str:
    if not fewer[0]:
        return "none against some"
    return f"{shown(more / np.maximum(fewer, 1e-12), 0, 1)}×"


def show_both(data: dict[str, Any]) -> str:
    """Every policy with and without letting go of what cannot be in time; as `show_policies` where only one was run."""
    if "queueing" not in data:
        return show_policies(data)
    rows = []
    for name, let_go in data["policies"].items():
        both = (let_go, data["queueing"][name])
        late, in_time, served = (
            [shown(figure(f, key)) for f in both] for key in ("violation_rate", "quality_in_time", "quality_mean")
        )
        more = (
            shown(figure(let_go, "goodput_per_minute"), 1, 1),
            shown(figure(let_go, "burst_per_minute"), 1, 1),
            shown(figure(let_go, "latency_p99_s"), 1, 1),
        )
        rows.append((f"`{name}`", *late, *in_time, *served, *more))
    rows += [(words, late, "", best, *[""] * 6) for words, late, best in bound_rows(data)]
    head = (
        "policy", "late %", "late %, all queue", "quality in time %", "in time %, all queue", "quality served %",
        "served %, all queue", "goodput/min", "in the burst", "p99 s",
    )  # fmt: skip
    return table(head, rows)


def bound_rows(data: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Words, late and quality in time of the linear programmes: as seldom late as can be, and as a policy was."""
    return [
        (
            f"*bound, as late as* `{name}`" if name else "*bound, fewest late*",
            shown(figure(least, "violation_rate")),
            shown(1 - figure(least, "lost_in_time")),
        )
        for name, least in data.get("bound", {}).items()
    ]


def show_policies(data: dict[str, Any]) -> str:
    rows = [
        (
            f"`{name}`",
            str(f["requests"]),
            shown(figure(f, "violation_rate")),
            shown(figure(f, "goodput_per_minute"), 1, 1),
            shown(figure(f, "burst_per_minute"), 1, 1),
            shown(figure(f, "quality_mean")),
            shown(figure(f, "latency_p50_s"), 1, 1),
            shown(figure(f, "latency_p99_s"), 1, 1),
        )
        for name, f in data["policies"].items()
    ]
    rows += [(words, "", late, "", "", best, "", "") for words, late, best in bound_rows(data)]
    return table(
        ("policy", "requests", "violations %", "goodput/min", "in the burst", "quality %", "p50 s", "p99 s"), rows
    )
