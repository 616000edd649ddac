"""The embedded family by its own profile: several models, requests that share forwards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bench.scheduler.part import Part
from bench.scheduler.pooling import pooled
from bench.scheduler.prompts import EMBEDDED, TRAINING, out_of_fold, told
from bench.scheduler.setup import NOISE, SLO_FACTOR, Setup
from bench.scheduler.tables import show_policies
from core.profiles import QualityTable, read_profile, read_quality
from scheduler.policies import NAMES
from scheduler.simulate import SimConfig, simulate, workload

OWN = EMBEDDED.with_name("cpu.json")
OWN_PEAKS, OWN_POLICIES = (0.6, 1.2, 2.0), tuple(name for name in NAMES if name != "nirvana")


def models(setup: Setup) -> dict[str, Any]:
    """The embedded family as it runs on two CPU workers: four models, requests that share forwards, Twitter's hour."""
    profile, slots = read_profile(OWN), {"cpu": 2}
    quality = read_quality(EMBEDDED).select(profile.ids)
    exact = slots["cpu"] * profile.reference.requests_per_minute
    predicted = own_predictions(quality, setup.seed)
    found: dict[str, Any] = {}
    for peak in OWN_PEAKS:
        trace = setup.trace("twitter-burst-hour").scaled_to(peak * exact)
        work = workload(trace, quality, profile.ids, setup.seed, NOISE, predicted)
        runs = {}
        for policy in OWN_POLICIES:
            slo_s = SLO_FACTOR * profile.reference.latency_s
            config = SimConfig(policy, {"cpu": profile}, slots, slo_s)
            runs[policy] = pooled([simulate(config, work)], exact)
        found[f"{peak:g}"] = {"policies": runs}
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
    return "\n\n".join(
        f"Peak minute at {float(peak):.0%} of what both carry at `exact`:\n\n{show_policies(found)}"
        for peak, found in data.items()
    )


PART = Part(
    models,
    show_models,
    "Several models, shared forwards",
    "The embedded family by its own profile (`profiles/embedded/cpu.json`) on two CPU workers, which the published "
    "profile, one model without batches, has nothing of. Twitter's hour, target latency 3 × exact.",
)
