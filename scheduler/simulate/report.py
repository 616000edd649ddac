"""The results of a simulated run: the figures that docs/formats.md lists, a timeline by minute, a table and plots."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from core.quality import quality_lost

MINUTE = 60.0


@dataclass
class Outcome:
    """What became of one request. Times in seconds; `finished` is infinite for one that was never served.

    `ranks` workers began to draw it together.
    """

    arrived: float
    deadline: float
    finished: float
    quality: float
    level: str
    batch: bool = False
    ranks: int = 1

    @property
    def served(self) -> bool:
        return math.isfinite(self.finished)

    @property
    def late(self) -> bool:
        return self.finished > self.deadline + 1e-9


@dataclass
class Report:
    """One policy's run: `figures` as in docs/formats.md, `timeline` by name a value a minute, `batch` of batch work.

    `late` says of each request, in order of arrival, whether it was. `gangs` are what `gang_figures` says, where
    workers may draw together.
    """

    policy: str
    figures: dict[str, Any]
    timeline: dict[str, list[float]]
    seconds: float  # of CPU time that the simulation took
    batch: dict[str, float] = field(default_factory=dict)
    ticks: dict[str, Any] = field(default_factory=dict)
    gangs: dict[str, Any] = field(default_factory=dict)
    late: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    def to_json(self) -> dict[str, Any]:
        gangs = {"gangs": self.gangs} if self.gangs else {}
        return {**self.figures, **gangs, "batch": self.batch, "ticks": self.ticks, "timeline": self.timeline}


def report(
    policy: str, outcomes: Sequence[Outcome], levels: Sequence[str], duration_s: float, seconds: float, **rest: Any
) -> Report:
    """Figures and timeline are of interactive requests; those of the batch class are reported separately."""
    interactive = [o for o in outcomes if not o.batch]
    background = [o for o in outcomes if o.batch]
    batch: dict[str, float] = {}
    if background:
        done = [o for o in background if o.served]
        batch = {
            "requests": len(background),
            "served": len(done),
            "late": sum(o.late for o in background),
            "quality_mean": float(np.mean([o.quality for o in done])) if done else 0.0,
        }
    figures = _figures(interactive, levels, duration_s)
    late = np.array([outcome.late for outcome in outcomes], bool)
    return Report(policy, figures, _timeline(interactive, levels, duration_s), seconds, batch, late=late, **rest)


def gang_figures(outcomes: Sequence[Outcome], formed: Mapping[tuple[str, int], int], broken: int) -> dict[str, Any]:
    """How many requests workers drew together, in which modes, how many gangs lost a member, and how long they took."""
    drawn = [o.finished - o.arrived for o in outcomes if o.served and o.ranks > 1]
    return {
        "requests": len(drawn),
        "share": len(drawn) / max(1, sum(o.served and not o.batch for o in outcomes)),
        "modes": {f"{mode}, {ranks} ranks": count for (mode, ranks), count in sorted(formed.items())},
        "broken": broken,
        "latency_p95_s": float(np.percentile(drawn, 95)) if drawn else 0.0,
    }


def _figures(outcomes: Sequence[Outcome], levels: Sequence[str], duration_s: float) -> dict[str, Any]:
    served = [o for o in outcomes if o.served]
    violations = sum(o.late for o in outcomes)
    in_time = [o.quality for o in served if not o.late]
    waits = np.array([o.finished - o.arrived for o in served]) if served else np.zeros(1)
    p50, p95, p99 = (float(p) for p in np.percentile(waits, [50, 95, 99]))
    return {
        "requests": len(outcomes),
        "served": len(served),
        "violations": violations,
        "violation_rate": violations / max(1, len(outcomes)),
        "goodput_per_minute": (len(outcomes) - violations) / (duration_s / MINUTE),
        "quality_mean": float(np.mean([o.quality for o in served])) if served else 0.0,
        "quality_in_time": float(np.mean(in_time)) if in_time else 0.0,
        "quality_lost": quality_lost([o.quality for o in served]) or 0.0,
        "lost_in_time": quality_lost(in_time) or 0.0,
        "latency_p50_s": p50,
        "latency_p95_s": p95,
        "latency_p99_s": p99,
        "levels": {lv: sum(o.level == lv for o in served) / max(1, len(served)) for lv in levels},
    }


def _timeline(outcomes: Sequence[Outcome], levels: Sequence[str], duration_s: float) -> dict[str, list[float]]:
    """Values by minute: that of arrival, but for `served`, which counts in the minute of finishing."""
    minutes = int(np.ceil(duration_s / MINUTE))
    arrived = np.array([int(o.arrived // MINUTE) for o in outcomes], int).clip(0, minutes - 1)
    late = np.array([float(o.late) for o in outcomes])
    quality = np.array([o.quality if o.served else 0.0 for o in outcomes])
    got = np.array([float(o.served) for o in outcomes])
    finished = np.array([int(o.finished // MINUTE) for o in outcomes if o.finished < minutes * MINUTE], int)
    demand = np.bincount(arrived, minlength=minutes)
    counted = np.maximum(1, np.bincount(arrived, got, minlength=minutes))
    lines = {
        "demand": demand,
        "served": np.bincount(finished, minlength=minutes),
        "violations": np.bincount(arrived, late, minlength=minutes),
        "quality": np.bincount(arrived, quality, minlength=minutes) / counted,
    }
    for level in levels:
        at = np.array([float(o.level == level and o.served) for o in outcomes])
        lines[f"level {level}"] = np.bincount(arrived, at, minlength=minutes) / counted
    return {name: [round(float(v), 4) for v in line] for name, line in lines.items()}


def as_json(reports: Sequence[Report], about: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of docs/formats.md: `{"policies": {name: figures}}`, and in `about` what was simulated."""
    return {"simulated": True, **about, "policies": {r.policy: r.to_json() for r in reports}}


COLUMNS = (
    ("requests", "{:d}", "requests"),
    ("violation_rate", "{:.2%}", "violations"),
    ("goodput_per_minute", "{:.1f}", "goodput/min"),
    ("quality_mean", "{:.2%}", "quality"),
    ("latency_p50_s", "{:.2f}", "p50 s"),
    ("latency_p95_s", "{:.2f}", "p95 s"),
    ("latency_p99_s", "{:.2f}", "p99 s"),
)


def rows(reports: Sequence[Report]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table for people; the last column lists the levels that took at least 1 %."""
    gangs = any(r.gangs for r in reports)
    header = ["policy", *(title for _, _, title in COLUMNS), *(["by gangs", "their p95 s"] if gangs else []), "levels"]
    body = []
    for r in reports:
        used = [f"{lv} {share:.0%}" for lv, share in r.figures["levels"].items() if share >= 0.01]
        drawn = [f"{r.gangs['requests']}", f"{r.gangs['latency_p95_s']:.2f}"] if gangs else []
        body.append([r.policy, *(form.format(r.figures[key]) for key, form, _ in COLUMNS), *drawn, ", ".join(used)])
    return header, body


def plot(reports: Sequence[Report], path: Path, title: str, capacity: float | None = None) -> None:
    """A PNG of demand and served, violations and quality by minute for all policies, and the last one's levels.

    `capacity` in requests a minute is drawn where given.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(4, 1, figsize=(9, 11), sharex=True)
    demand, violations, quality, shares = axes
    demand.fill_between(range(len(reports[0].timeline["demand"])), reports[0].timeline["demand"], color="0.85")
    if capacity:
        demand.axhline(capacity, color="0.4", lw=0.8, ls=":")
    for r in reports:
        demand.plot(r.timeline["served"], lw=1, label=r.policy)
        violations.plot(np.cumsum(r.timeline["violations"]), lw=1, label=r.policy)
        line = [q if n else np.nan for q, n in zip(r.timeline["quality"], r.timeline["demand"], strict=True)]
        quality.plot(line, lw=1, label=r.policy)
    last = reports[-1].timeline
    names = [name for name in last if name.startswith("level ")]
    shares.stackplot(range(len(last["demand"])), *(last[name] for name in names), labels=[n[6:] for n in names])
    for axis, label in zip(
        axes, ("requests/min", "violations so far", "quality", f"levels, {reports[-1].policy}"), strict=True
    ):
        axis.set_ylabel(label)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0)
    demand.set_title(f"{title} (simulated; grey: demand)", fontsize=10)
    violations.set_yscale("symlog", linthresh=1)
    violations.set_ylim(bottom=0)
    demand.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    shares.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    shares.set_ylim(0, 1)
    shares.set_xlabel("minute")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
