"""The page of `bench.gangs_simulated`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.scheduler.intervals import drawn, shown, verdict

GOAL = 0.30  # of the 95th percentile of latency, at a low load
LOW = 0.4  # of the capacity in the busiest minute, at most
NO_WORSE = 0.005  # of goodput

MEANINGS = (
    "**Simulated, by a modelled profile of modes** ([parallel-speed.md](parallel-speed.md)): nobody has drawn an image",
    "with two GPUs here. Measured is what one H200 takes for a step and for the rest of an image. Meeting is assumed.",
    "Eight workers of one host; *load*: that of the busiest minute, against what eight workers carry in serial steps.",
    "*p95* is the 95th percentile of latency, the mean over seeds. Falls and changes are of the same requests with and",
    "without gangs, with the middle 95 % of seeds drawn again (`bench.scheduler.intervals`). *By gangs*: the share of",
    "requests. Where nothing formed, nothing changed. Requests have one level, `exact`: 28 steps of Flux, 50 of SDXL.",
    "*C5* is the constraint of the rule by which a gang leaves a free one to whoever comes next",
    "(`scheduler/planning/gangs.py`). Named modes are not asked whether they pay.",
)


def page(found: Mapping[str, Any]) -> str:
    """The page for people."""
    run = found["run"]
    lines = [
        "# Gangs, simulated",
        "",
        "After this page you can say what gangs make of latency and goodput at any load, and what that rests on.",
        "",
        f"`{run['command']}`, {run['measured']}, {run['seeds']} seeds, {run['workers']} workers, latency target "
        f"{run['slo_factor']:g} × one image alone.",
        "",
        *MEANINGS,
        "",
    ]
    for case in found["cases"]:
        lines += [*_case(case), ""]
    return "\n".join(lines)


def _case(case: Mapping[str, Any]) -> list[str]:
    asks = "`auto`" if case["asked"] == "auto" else f"every request names `{case['asked']}`"
    without = ", without C5" if case["most_wait"] >= 1 else ""
    model = case["family"].removeprefix("random-")
    return [
        f"## {model}, {case['link']}, {asks}, meeting {case['meet_s']:g} s{without}",
        "",
        f"An image alone takes {case['alone_s']:.2f} s.",
        "",
        "| shape, load | by gangs | ranks | p95, s | with gangs, s | p95 falls, % | goodput changes, % | late, % |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *[_row(load) for load in case["loads"]],
        "",
        *_verdicts(case["loads"]),
    ]


def _row(load: Mapping[str, Any]) -> str:
    alone, together = load["alone"], load["together"]
    modes = Counter[str]()
    for gangs in load["gangs"]:
        modes.update(gangs["modes"])
    share = sum(gangs["requests"] for gangs in load["gangs"]) / sum(together["requests"])
    most = ", ".join(f"{name.split(', ')[1]} {count}" for name, count in modes.most_common()) or "–"
    p95 = f"{np.mean(alone['latency_p95_s']):.2f} | {np.mean(together['latency_p95_s']):.2f}"
    late = f"{100 * np.mean(alone['violation_rate']):.2f} → {100 * np.mean(together['violation_rate']):.2f}"
    changes = f"{shown(_fall(load), 1)} | {shown(_gain(load), 2)}"
    return f"| {load['shape']}, {load['load']:.0%} | {share:.0%} | {most} | {p95} | {changes} | {late} |"


def _verdicts(loads: Sequence[Mapping[str, Any]]) -> list[str]:
    low = [load for load in loads if load["load"] <= LOW]
    falls = [f"{load['shape']} {load['load']:.0%} {verdict(_fall(load) - GOAL)}" for load in low]
    kept = [f"{load['shape']} {load['load']:.0%} {verdict(_gain(load) + NO_WORSE)}" for load in loads]
    return [
        f"- p95 at a low load ≥ {GOAL:.0%} lower: {'; '.join(falls)}",
        f"- goodput unchanged, by {NO_WORSE:.1%} at most: {'; '.join(kept)}",
    ]


def _fall(load: Mapping[str, Any]) -> np.ndarray:
    """By what share the 95th percentile is lower with gangs, in each draw of seeds."""
    with_gangs, without = (drawn(load[name]["latency_p95_s"]) for name in ("together", "alone"))
    fall: np.ndarray = 1 - with_gangs / without
    return fall


def _gain(load: Mapping[str, Any]) -> np.ndarray:
    with_gangs, without = (drawn(load[name]["goodput_per_minute"]) for name in ("together", "alone"))
    gain: np.ndarray = with_gangs / without - 1
    return gain
