"""The highest burst that a policy carries: at most 1 % late, and 95 % of the quality in what is in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.scheduler.intervals import figure, shown
from bench.scheduler.parallel import over_seeds
from bench.scheduler.part import Part
from bench.scheduler.pooling import pooled
from bench.scheduler.setup import Setup
from bench.scheduler.tables import goals, shown_goal, table

PEAKS = (0.8, 0.9, 1.0, 1.05, 1.1, 1.2)  # of capacity, in the busiest minute
LATE, QUALITY = 0.01, 0.95
TIMES = 1.2
POLICIES = ("clipper-ht", "pac", "argus")


def highest(setup: Setup) -> dict[str, Any]:
    """By policy and peak, the figures of each seed; and how much higher the peak of the shape is than its mean."""
    found: dict[str, dict[str, Any]] = {name: {} for name in POLICIES}
    for peak in PEAKS:
        runs = over_seeds(setup, POLICIES, setup.burst.scaled_to(peak * setup.capacity), setup.seeds)
        for name, reports in runs.items():
            found[name][f"{peak:g}"] = pooled(reports)
    scaled = setup.burst.scaled_to(setup.capacity)
    mean = float(scaled.counts.sum()) * scaled.scale / scaled.duration_s * 60
    return {"seeds": list(setup.seeds), "policies": found, "burst_factor": setup.capacity / mean}


def in_time(rows: dict[str, Any]) -> np.ndarray:
    """The same, of lateness alone."""
    peaks = np.array([float(peak) for peak in rows])
    return _crossing(peaks, np.array([LATE - figure(row, "violation_rate") for row in rows.values()]))


def reached(rows: dict[str, Any]) -> np.ndarray:
    """The peak, of capacity, up to which a policy is in time and good enough, as measured and in each draw."""
    peaks = np.array([float(peak) for peak in rows])
    good = np.array([figure(row, "quality_in_time") - QUALITY for row in rows.values()])
    first: np.ndarray = np.minimum(in_time(rows), _crossing(peaks, good))
    return first


def _crossing(peaks: np.ndarray, margins: np.ndarray) -> np.ndarray:
    """Where margins (P×D) first fall below 0 as the peaks (P) rise, on a straight line between two; D values."""
    found = np.full(margins.shape[1], peaks[-1])
    for draw, margin in enumerate(margins.T):
        below = np.flatnonzero(margin < 0)
        if len(below):
            at = below[0]
            share = margin[at - 1] / (margin[at - 1] - margin[at]) if at else 0.0
            found[draw] = peaks[at - 1] + share * (peaks[at] - peaks[at - 1]) if at else peaks[0]
    return found


def show_highest(data: dict[str, Any]) -> str:
    policies = data["policies"]
    ends = {name: reached(rows) for name, rows in policies.items()}
    cells = [(f"`{name}`", shown(ends[name], 0), *map(_cell, rows.values())) for name, rows in policies.items()]
    peaks: Sequence[str] = [f"at {float(peak):.0%}: late %, quality %" for peak in policies["argus"]]
    ratio = ends["argus"] / ends["pac"]
    check = shown_goal(f"≥ {TIMES:g}× that of `pac`", ratio - TIMES, f"{shown(ratio, 2, 1)}×")
    said = (
        f"Seeds run: {len(data['seeds'])}. The busiest minute has {data['burst_factor']:.1f} times the mean's requests."
    )
    if "clipper-ht" in policies:
        said += f" `clipper-ht`, whatever it draws, is in time up to {shown(in_time(policies['clipper-ht']), 0)} %: "
        said += f"{shown(in_time(policies['clipper-ht']) / ends['pac'], 2, 1)}× that of `pac`."
    return f"{said}\n\n{table(('policy', 'highest peak, % of capacity', *peaks), cells)}\n\n{goals([check])}"


def _cell(row: dict[str, Any]) -> str:
    return f"{100 * row['violation_rate']:.2f}, {100 * row['quality_in_time']:.2f}"


PART = Part(
    highest,
    show_highest,
    "The highest burst",
    f"Twitter's burst, scaled: up to which peak at most {LATE:.0%} are late and what is in time keeps {QUALITY:.0%} of "
    "its quality, on a straight line between the peaks that were run. All let go. A policy that fails at the first "
    "peak is given that.",
)
