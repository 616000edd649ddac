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


def show_both(data: dict[str, Any]) -> str:
    """Every policy with and without letting go of what cannot be in time; as `show_policies` where only one was run."""
    if "queueing" not in data:
        return show_policies(data)
    rows = []
    for name, let_go in data["policies"].items():
        both = (let_go, data["queueing"][name])
        late, in_time, served = (
            [percent(f[key]) for f in both] for key in ("violation_rate", "quality_in_time", "quality_mean")
        )
        more = (
            f"{let_go['goodput_per_minute']:.1f}",
            f"{let_go['burst_per_minute']:.1f}",
            f"{let_go['latency_p99_s']:.1f}",
        )
        rows.append((f"`{name}`", *late, *in_time, *served, *more))
    least = data.get("bound")
    if least:
        known = percent(least["violation_rate"]), percent(1 - least["quality_lost"])
        rows.append(("*bound*", known[0], "", known[1], *[""] * 6))
    head = (
        "policy", "late %", "late %, all queue", "quality in time %", "in time %, all queue", "quality served %",
        "served %, all queue", "goodput/min", "in the burst", "p99 s",
    )  # fmt: skip
    return table(head, rows)


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
