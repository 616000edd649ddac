"""Poisson arrivals at fixed shares of capacity: how far from PAC to the bound at equal lateness."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from bench.scheduler.intervals import drawn, shown
from bench.scheduler.parallel import each
from bench.scheduler.part import Part
from bench.scheduler.perfect import perfect_work
from bench.scheduler.setup import WORKERS, Setup
from bench.scheduler.tables import AGAIN, Goal, goals, percent, shown_goal, table
from scheduler.planning.milp import Instance, Level, PromptClass, solve
from scheduler.simulate import Workload
from traces.reader import Trace

LOADS = (0.58, 0.66, 0.74, 0.85, 0.90, 0.98)
STEADY_S, HISTORY_S = 1800.0, 3600
JUDGED = 0.95  # goals are for loads up to this
OF_PERFECT, OF_BOUND = 0.85, 0.90


def steady(setup: Setup) -> dict[str, Any]:
    """By load, the figures of each seed: losses and lateness of PAC and of Argus, and the bounds at Argus' lateness."""
    asked = [(load, seed) for load in LOADS for seed in setup.seeds]
    rows = iter(each(setup, steady_row, asked))
    loads = {f"{load:g}": by_seed([next(rows) for _ in setup.seeds]) for load in LOADS}
    return {"seeds": list(setup.seeds), "loads": loads}


def by_seed(rows: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    return {key: [float(f"{row[key]:.7g}") for row in rows] for key in rows[0]}


def steady_row(setup: Setup, load: float, seed: int) -> dict[str, float]:
    """One load, one seed. The forecaster has seen an hour of it before, as a live one has."""
    trace = steady_trace(setup, load)
    told, true = setup.work(trace, seed), setup.work(trace, seed, true=True)
    seen = history(setup, load, seed)
    row = {
        "curve": 1 - published_pac(setup, load),
        **losses(setup, seen, "told", told),
        **losses(setup, seen, "true", true),
    }
    oracle = setup.run("oracle", true, history=seen).figures
    row |= {"oracle_lost": oracle["lost_in_time"], "oracle_late": oracle["violation_rate"]}
    perfect = perfect_work(setup, trace, seed)
    return row if perfect is None else {**row, **losses(setup, seen, "means", perfect)}


def losses(setup: Setup, seen: tuple[int, ...], name: str, work: Workload) -> dict[str, float]:
    """What PAC and Argus lose of these requests, how many are late, and the least at Argus' lateness."""
    run = partial(setup.run, history=seen)
    pac, mine = run("pac", work).figures, run("argus", work).figures
    return {
        f"{name}_pac": pac["lost_in_time"],
        f"{name}_pac_late": pac["violation_rate"],
        f"{name}_lost": mine["lost_in_time"],
        f"{name}_late": mine["violation_rate"],
        f"{name}_bound": setup.least(work, mine["violations"])["lost_in_time"],
    }


def way(row: Mapping[str, Sequence[float]], name: str) -> np.ndarray:
    """The share of the distance from PAC to the bound at equal lateness, with its draws."""
    pac, lost, least = (drawn(row[f"{name}_{key}"]) for key in ("pac", "lost", "bound"))
    share: np.ndarray = (pac - lost) / np.maximum(pac - least, 1e-9)
    return share


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


def show_steady(data: Any) -> str:
    if "loads" not in data:
        return AGAIN
    loads = data["loads"]
    ours = ("told", "true")
    cells = [
        (
            percent(float(load), 0),
            shown(1 - drawn(row["curve"])),
            shown(1 - drawn(row["told_pac"])),
            *(shown(1 - drawn(row[f"{name}_lost"])) for name in (*ours, "oracle")),
            shown(1 - drawn(row["true_bound"])),
            *(shown(way(row, name), 0) for name in ours),
            shown(way(row, "means"), 0) if "means_lost" in row else "",
            *(shown(drawn(row[f"{name}_late"])) for name in ("told_pac", *ours, "oracle")),
        )
        for load, row in loads.items()
    ]
    head = (
        "load %", "PAC, published curve", "`pac`", "`argus`, predicted", "`argus`, true", "`oracle`",
        "bound, late as `argus`, true", "way, predicted %", "way, true %", "way, perfect means %", "late %: `pac`",
        "late %: `argus`, predicted", "late %: `argus`, true", "late %: `oracle`",
    )  # fmt: skip
    judged = {load: row for load, row in loads.items() if float(load) <= JUDGED}
    return f"Seeds run: {len(data['seeds'])}.\n\n{table(head, cells)}\n\n{goals(steady_goals(judged))}"


def steady_goals(rows: Mapping[str, Mapping[str, Sequence[float]]]) -> list[Goal]:
    """At the load where each is furthest from reached."""
    above = _least(drawn(row["told_pac"]) - drawn(row["told_lost"]) for row in rows.values())
    true = _least(way(row, "true") for row in rows.values())
    checks = [
        shown_goal("above `pac` at every load", above, f"by {shown(above)} points at least"),
        shown_goal("way with true qualities ≥ 90 %", true - OF_BOUND, f"{shown(true, 0)} % at least"),
    ]
    known = [row for row in rows.values() if "means_lost" in row]
    if known:
        share = _least(way(row, "told") / np.maximum(way(row, "means"), 1e-9) for row in known)
        words = "way with predicted qualities ≥ 85 % of what perfect means reach"
        checks.append(shown_goal(words, share - OF_PERFECT, f"{shown(share, 0)} % at least"))
    return checks


def _least(figures: Iterable[np.ndarray]) -> np.ndarray:
    found: np.ndarray = np.minimum.reduce(list(figures))
    return found


PART = Part(
    steady,
    show_steady,
    "Steady load",
    f"Poisson arrivals for {STEADY_S:.0f} s at each share of capacity; the forecast has seen an hour of the same "
    "before. Relative quality, in %, of what was in time. `pac` gets Argus' forecast and lets go as all do; its "
    "published curve has no queueing. The bound is a linear programme over the very requests "
    "(`scheduler/simulate/bound.py`), below any schedule that is late as often as the run it is compared with; “way” "
    "is the share of the distance from `pac` to it. Perfect means: told what each prompt scores on average over "
    "seeds, which no predictor can beat. `oracle` is clairvoyant `argus`, the same rules told the next arrivals and "
    f"the true qualities, and no bound. Goals are for loads up to {JUDGED:.0%}.",
)
