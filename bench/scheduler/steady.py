"""Poisson arrivals at fixed shares of capacity: how far from PAC to the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from bench.scheduler.part import Part
from bench.scheduler.setup import WORKERS, Setup
from bench.scheduler.tables import goal, goals, percent, table
from scheduler.planning.milp import Instance, Level, PromptClass, solve
from traces.reader import Trace

LOADS = (0.58, 0.66, 0.74, 0.85, 0.90, 0.98)
STEADY_S, HISTORY_S, STEADY_SEEDS = 1800.0, 3600, (1, 2, 3)


def steady(setup: Setup, seeds: Sequence[int] = STEADY_SEEDS) -> list[dict[str, float]]:
    """Poisson arrivals at fixed shares of capacity, means over seeds: how far from PAC to the oracle."""
    return [mean_row([steady_row(setup, load, seed) for seed in seeds]) for load in LOADS]


def mean_row(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def steady_row(setup: Setup, load: float, seed: int) -> dict[str, float]:
    """One load, one seed. The forecaster has seen an hour of it before, as a live one has."""
    trace, run = steady_trace(setup, load), partial(setup.run, history=history(setup, load, seed))
    true, told = setup.work(trace, seed, true=True), setup.work(trace, seed)
    runs = {
        "true": run("argus", true),
        "told": run("argus", told),
        "oracle": run("oracle", true),
    }
    row = {"load": load, "pac": published_pac(setup, load), "bound": setup.least(true)["quality_lost"]}
    for name, report in runs.items():
        row[name] = report.figures["quality_mean"]
        row[f"{name}_violations"] = report.figures["violation_rate"]
    return row


def steady_trace(setup: Setup, load: float) -> Trace:
    requests = load * setup.capacity / 60 * STEADY_S
    return Trace("steady", STEADY_S, np.zeros(1), np.full(1, STEADY_S), np.full(1, requests))


def history(setup: Setup, load: float, seed: int) -> tuple[int, ...]:
    """Requests in each second of the hour before."""
    return tuple(map(int, np.random.default_rng([seed, 4]).poisson(load * setup.capacity / 60, HISTORY_S)))


def published_pac(setup: Setup, load: float) -> float:
    """Quality of the prompt-agnostic ceiling: one level a worker, no queueing (PAC in docs/methods.md)."""
    levels = tuple(Level(lv.id, {"a100": lv.requests_per_minute}) for lv in setup.profile.levels)
    means = {lv.id: lv.quality for lv in setup.profile.levels}
    return solve(Instance({"a100": WORKERS}, levels, (PromptClass("all", load * setup.capacity, means),))).quality


def show_steady(rows: list[dict[str, float]]) -> str:
    def way(row: dict[str, float], name: str) -> float:
        return (row[name] - row["pac"]) / max(1e-9, row["oracle"] - row["pac"])

    cells = [
        (
            percent(row["load"], 0),
            percent(row["pac"]),
            percent(row["told"]),
            percent(row["true"]),
            percent(row["oracle"]),
            percent(1 - row["bound"]),
            percent(way(row, "told"), 0),
            percent(way(row, "true"), 0),
            " / ".join(percent(row[f"{name}_violations"]) for name in ("told", "true", "oracle")),
        )
        for row in rows
    ]
    head = (
        "load %", "PAC", "argus, predicted", "argus, true", "oracle", "bound", "way, predicted %", "way, true %",
        "violations % (predicted / true / oracle)",
    )  # fmt: skip
    told, true = (min(way(row, name) for row in rows) for name in ("told", "true"))
    above = min(row["told"] - row["pac"] for row in rows)
    checks = [
        goal("above PAC at every load", above > 0, f"by {100 * above:.2f} points at least"),
        goal(
            "≥ 98 % of the way from PAC to `oracle` with true qualities", true >= 0.98, f"{percent(true, 0)} % at least"
        ),
        goal("≥ 80 % with predicted ones", told >= 0.8, f"{percent(told, 0)} % at least"),
    ]
    return f"{table(head, cells)}\n\n{goals(checks)}"


PART = Part(
    steady,
    show_steady,
    "Steady load",
    f"Poisson arrivals for {STEADY_S:.0f} s at each share of capacity, means over {len(STEADY_SEEDS)} seeds; "
    "the forecast has seen an hour of the same before. Relative quality in %. PAC is the published curve (one "
    "level a worker, no queueing); “way” is the share of the distance from PAC to the oracle. The "
    "oracle is the same policy told the next arrivals and the true qualities; the bound is a linear programme over "
    "the very requests (`scheduler/simulate/bound.py`), below any schedule.",
)
