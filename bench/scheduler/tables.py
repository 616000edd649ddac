"""Tables of the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Goal = tuple[str, str, str]  # what was to be reached, the figure, whether it was


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines)


def percent(value: float, digits: int = 2) -> str:
    return f"{100 * value:.{digits}f}"


def goal(text: str, reached: bool, figure: str) -> Goal:
    return text, figure, "reached" if reached else "**not reached**"


def goals(rows: Iterable[Goal]) -> str:
    return table(("goal", "figure", ""), rows)


def times(more: float, fewer: float) -> str:
    return f"{more / fewer:.0f}×" if fewer else "none against some"


def show_policies(data: dict[str, Any]) -> str:
    rows = [
        (
            f"`{name}`",
            str(f["requests"]),
            percent(f["violation_rate"]),
            f"{f['goodput_per_minute']:.1f}",
            f"{f['burst_per_minute']:.1f}",
            percent(f["quality_mean"]),
            f"{f['latency_p50_s']:.1f}",
            f"{f['latency_p99_s']:.1f}",
        )
        for name, f in data["policies"].items()
    ]
    least = data.get("bound")
    if least:
        rows.append(
            ("*bound*", "", percent(least["violation_rate"]), "", "", percent(1 - least["quality_lost"]), "", "")
        )
    return table(
        ("policy", "requests", "violations %", "goodput/min", "in the burst", "quality %", "p50 s", "p99 s"), rows
    )
