"""Short runs of the simulator on the small cluster."""

from __future__ import annotations

import numpy as np

from scheduler.simulate import Report, SimConfig, Workload, simulate, synthetic_quality, workload
from tests.scheduler.policies.small_cluster import SLO, profile
from traces.reader import Trace

SECONDS = np.array([4.2, 3.36, 2.1])


def steady(load: float, seconds: float = 300.0, seed: int = 1, noise: float = 0.2, **rest: object) -> Workload:
    """Poisson arrivals at a share of what 8 workers carry at the cheapest level."""
    count = load * 8 / 2.1 * seconds
    trace = Trace("steady", seconds, np.zeros(1), np.full(1, seconds), np.full(1, count))
    return workload(trace, synthetic_quality(profile(), seed), profile().ids, seed, noise, **rest)  # type: ignore[arg-type]


def run(policy: str, work: Workload, workers: int = 8, **rest: object) -> Report:
    """In the setting of the Argus paper, unless told otherwise: any cached latent will do."""
    given = {"any_hit": True, **rest}
    config = SimConfig(policy, {"a100": profile()}, {"a100": workers}, SLO, **given)  # type: ignore[arg-type]
    return simulate(config, work)


def at(times: list[float], duration_s: float = 60.0) -> Workload:
    n = len(times)
    ones = np.ones((1, 3))
    return Workload(np.array(times), np.zeros(n, int), ones, ones, ("p",), np.zeros(n), np.zeros(n, bool), duration_s)
