"""Above what workers carry exactly, on a machine that is slower and less steady than its profile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.profiles import Profile, read_profile, read_quality
from core.settings import ROOT
from scheduler.simulate import Report, SimConfig, simulate, workload
from traces.reader import Trace

EMBEDDED = ROOT / "profiles" / "embedded"
LIVE = {"hand_over_s": 0.05, "overhead_s": 0.1, "snapshot_age_s": 0.65, "spread": 0.3}


def slowed(profile: Profile, times: float) -> Profile:
    """As where two workers, the services and the load script share two cores."""
    levels = [
        level.model_copy(
            update={
                "requests_per_minute": level.requests_per_minute / times,
                "latency_s": level.latency_s * times,
                "batch": [row.model_copy(update={"step_s": row.step_s * times}) for row in level.batch],
            }
        )
        for level in profile.levels
    ]
    return profile.model_copy(update={"levels": levels})


def burst(policy: str, seed: int) -> Report:
    """Five minutes at 120 % of what two workers carry exactly, in turns of calm and crowd."""
    device = slowed(read_profile(EMBEDDED / "cpu.json"), 2.2)
    table = read_quality(EMBEDDED / "quality.csv").select(device.ids)
    requests = 1.2 * 2 * device.reference.requests_per_minute / 6 * np.tile([0.7, 1.3], 15)
    trace = Trace("turns", 300.0, np.arange(30) * 10.0, np.full(30, 10.0), requests)
    config = SimConfig(policy, {"cpu": device}, {"cpu": 2}, 4 * device.reference.latency_s, seed=seed)
    means = replace(table, values=np.tile(np.mean(table.values, axis=0), (len(table), 1)))  # all that is predicted
    work = workload(trace, table, device.ids, seed, predicted=means)
    return simulate(replace(config, **LIVE), work)  # type: ignore[arg-type]


def test_a_burst_is_met_in_time_and_at_good_levels() -> None:
    argus, pac = ([burst(policy, seed).figures for seed in (1, 2)] for policy in ("argus", "pac"))
    late, rivals_late = (np.mean([f["violation_rate"] for f in runs]) for runs in (argus, pac))
    quality, rivals_quality = (np.mean([f["quality_mean"] for f in runs]) for runs in (argus, pac))
    assert late <= min(0.01, rivals_late)
    assert quality > rivals_quality
    assert all(f["levels"]["sm-turbo-half"] + f["levels"]["sm-medium-half"] < 0.01 for f in argus)
