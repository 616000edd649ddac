"""The embedded family by its own profile: several models, requests that share forwards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bench.live.load import burst
from bench.scheduler.intervals import figure, shown
from bench.scheduler.part import Part
from bench.scheduler.pooling import pooled
from bench.scheduler.prompts import EMBEDDED, TRAINING, out_of_fold, told
from bench.scheduler.setup import NOISE, SLO_FACTOR, Setup
from bench.scheduler.shapes import CONTENDERS
from bench.scheduler.tables import AGAIN, Goal, goals, show_policies, shown_goal
from core.profiles import QualityTable, read_profile, read_quality
from scheduler.policies import NAMES
from scheduler.simulate import Report, SimConfig, simulate, workload

OWN = EMBEDDED.with_name("cpu.json")
OWN_LOADS, BURST_S = (0.6, 1.2), 180.0
OWN_POLICIES = tuple(name for name in NAMES if name not in ("nirvana", "tetriserve", "genserve"))


def models(setup: Setup) -> dict[str, Any]:
    """The embedded family on two CPU workers: five models, requests that share forwards, Twitter's three minutes."""
    profile = read_profile(OWN)
    exact = 2 * profile.reference.requests_per_minute
    quality = read_quality(EMBEDDED).select(profile.ids)
    predicted = own_predictions(quality, setup.seed)
    whole = setup.trace("twitter-burst-hour")
    trace = whole.window(burst(whole, BURST_S), BURST_S)
    found: dict[str, Any] = {"seeds": list(setup.seeds)}
    for load in OWN_LOADS:
        scaled = replace(trace, scale=load * exact * BURST_S / 60 / float(trace.counts.sum()))
        runs: dict[str, list[Report]] = {name: [] for name in OWN_POLICIES}
        for seed in setup.seeds:
            work = workload(scaled, quality, profile.ids, seed, NOISE, predicted)
            for name in OWN_POLICIES if seed == setup.seed else CONTENDERS:
                config = SimConfig(name, {"cpu": profile}, {"cpu": 2}, SLO_FACTOR * profile.reference.latency_s)
                runs[name].append(simulate(config, work))
        found[f"{load:g}"] = {"policies": {name: pooled(reports, exact) for name, reports in runs.items() if reports}}
    return found


def own_predictions(quality: QualityTable, seed: int) -> QualityTable:
    """What the predictor says of these prompts; a level's mean where it says nothing."""
    found = told(read_quality(TRAINING), quality.prompts, seed) if TRAINING.exists() else out_of_fold(quality, seed)
    columns = [
        found.column(level) if level in found.levels else np.full(len(quality), mean)
        for level, mean in quality.means.items()
    ]
    return replace(quality, values=np.column_stack(columns))


def show_models(data: dict[str, Any]) -> str:
    if "seeds" not in data:
        return AGAIN
    tables = [
        f"Mean load {float(load):.0%} of what both carry at `exact`:\n\n{show_policies(found)}"
        for load, found in data.items()
        if load != "seeds"
    ]
    over = goals(_goals(data["1.2"]["policies"]))
    return "\n\n".join([f"Seeds run: {len(data['seeds'])}; of policies without intervals the first.", *tables, over])


def _goals(policies: dict[str, Any]) -> list[Goal]:
    """At 120 %, as in the live comparison."""
    mine = policies["argus"]
    rivals = [policies[name] for name in ("pac", "clipper-ha")]
    late, quality, goodput = (figure(mine, key) for key in ("violation_rate", "quality_mean", "goodput_per_minute"))
    most = np.maximum(*(figure(rival, "goodput_per_minute") for rival in rivals))
    better = quality - figure(policies["pac"], "quality_mean")
    return [
        shown_goal("at 120 %: late ≤ 2 %", 0.02 - late, f"{shown(late)} %"),
        shown_goal("at 120 %: quality above `pac`", better, f"by {shown(better)} points"),
        shown_goal(
            "at 120 %: goodput above `pac` and `clipper-ha`", goodput - most, f"by {shown(goodput - most, 1, 1)}"
        ),
    ]


PART = Part(
    models,
    show_models,
    "Several models, shared forwards",
    "The embedded family by its own profile (`profiles/embedded/cpu.json`) on two CPU workers with memory for all "
    "models, which the published profile, one model without batches, has nothing of. The three busiest minutes of "
    "Twitter's hour, target latency 3 × exact.",
)
