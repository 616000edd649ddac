"""Two tenants in the simulator: a flood of one, and what the other sees of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scheduler.simulate import SimConfig, Workload, simulate_outcomes
from scheduler.simulate.report import Outcome
from tests.scheduler.policies.small_cluster import SLO, profile
from tests.scheduler.simulate.small_runs import at

QUIET, LOUD = "quiet", "loud"


def two(quiet: list[float], loud: list[float]) -> Workload:
    """Requests of both tenants, in order of arrival."""
    both = sorted([(time, QUIET) for time in quiet] + [(time, LOUD) for time in loud])
    return replace(at([time for time, _ in both], 120.0), tenants=tuple(tenant for _, tenant in both))


def outcomes(work: Workload, workers: int = 2, **rest: object) -> dict[str, list[Outcome]]:
    config = SimConfig("argus", {"a100": profile()}, {"a100": workers}, SLO, **rest)  # type: ignore[arg-type]
    found: dict[str, list[Outcome]] = {QUIET: [], LOUD: []}
    for one, tenant in zip(simulate_outcomes(config, work), work.tenants, strict=True):
        found[tenant].append(one)
    return found


def p95(some: list[Outcome]) -> float:
    return float(np.percentile([one.finished - one.arrived for one in some], 95))


STEADY = [5.0 + 10.0 * i for i in range(11)]


def test_who_sends_little_waits_for_what_runs_and_not_for_a_flood_of_another() -> None:
    flood = list(np.linspace(20.0, 80.0, 300))
    fair, line = (outcomes(two(STEADY, flood), fair=fair) for fair in (True, False))
    assert not any(one.late for one in fair[QUIET])
    assert all(one.level == "exact" for one in fair[QUIET])
    assert p95(line[QUIET]) > 10 * p95(fair[QUIET])
    assert all(one.served for one in fair[LOUD])


def test_with_one_tenant_nothing_is_changed() -> None:
    times = [float(time) for time in np.linspace(0.0, 60.0, 120)]
    named = outcomes(two([], times))[LOUD]
    config = SimConfig("argus", {"a100": profile()}, {"a100": 2}, SLO)
    assert named == simulate_outcomes(config, at(times, 120.0))
    assert named == outcomes(two([], times), fair=False)[LOUD]


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_two_floods_share_by_their_weights(weight: float) -> None:
    work = two([0.0] * 200, [0.0] * 200)
    both = outcomes(work, workers=4, weights={QUIET: weight})
    end = float(np.median([one.finished for some in both.values() for one in some]))
    early = {tenant: sum(one.finished <= end for one in some) for tenant, some in both.items()}
    assert early[QUIET] / early[LOUD] == pytest.approx(weight, rel=0.15)
