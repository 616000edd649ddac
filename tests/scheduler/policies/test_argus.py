"""Argus' own rules, on a small cluster."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from core.profiles import parse_profile
from scheduler.policies import Cluster, LoadState, Observation, Started, Worker, make_policy
from tests.scheduler.policies.small_cluster import (
    SLO,
    WORKER,
    argus,
    cluster,
    load_state,
    observed,
    request,
    sized,
)


def test_argus_serves_everyone_exactly_while_demand_fits() -> None:
    policy, epoch = argus(1.0)
    assert policy.route(request(), epoch, load_state(1.0)) == "exact"
    assert policy.admit(WORKER, [(request(), "exact")], epoch, load_state(1.0)).level == "exact"


def test_argus_lowers_the_prompts_that_lose_least_and_keeps_the_others() -> None:
    policy, epoch = argus(3.2)
    crowded = load_state(3.2, waiting=14)
    tough, delicate = request((1.0, 0.999, 0.998)), request((1.0, 0.8, 0.5))
    assert policy.admit(WORKER, [(tough, "exact")], epoch, crowded).level == "ac-25"
    assert policy.admit(WORKER, [(delicate, "exact")], epoch, crowded).level == "exact"


def test_argus_rebinds_by_the_time_left() -> None:
    policy, epoch = argus(1.0)
    for now, level in ((8.0, "exact"), (8.8, "ac-10"), (10.0, "ac-25")):
        assert policy.admit(WORKER, [(request(), "exact")], epoch, load_state(1.0, now=now)).level == level


def test_argus_sets_aside_what_cannot_be_in_time_and_serves_the_next() -> None:
    policy, epoch = argus(1.0)
    waiting = [(request(arrived=-11.0), "exact"), (request(arrived=-10.9), "exact"), (request(arrived=-1.0), "exact")]
    admission = policy.admit(WORKER, waiting, epoch, load_state(1.0))
    assert (admission.unreachable, admission.start) == ((0, 1), 2)
    assert sorted(admission.removed) == [0, 1, 2]


def test_argus_hurries_when_those_behind_would_be_late() -> None:
    policy, epoch = argus(1.0)
    delicate = (1.0, 0.8, 0.5)
    crowd = [(request(delicate, arrived=-9.0), "exact") for _ in range(12)]
    first = [(request(delicate, arrived=-0.1), "exact"), *crowd]
    assert policy.admit(WORKER, first, epoch, load_state(1.0, waiting=13)).level == "ac-25"


def test_a_model_that_had_its_share_costs_what_the_plan_says_and_one_that_lags_only_what_waits() -> None:
    policy, _ = argus(3.0, exact="big", ac_10="big", ac_25="small")
    epoch = policy.plan(observed(3.0, {"big": 4, "small": 4}))
    dearer = epoch.plan.prices["exact"] - epoch.plan.prices.get("ac-25", 0.0)
    assert dearer > 0
    torn = request((1.0, 0.0, 1.0 - dearer / 2))
    state = load_state(3.0, models=("big", "small"))
    assert policy.route(torn, epoch, replace(state, routed={"exact": 10})) == "ac-25"
    assert policy.route(torn, epoch, replace(state, routed={"ac-25": 10})) == "exact"


def test_argus_expects_the_batch_there_is_and_not_the_fullest() -> None:
    batch = [{"size": size, "step_s": seconds} for size, seconds in ((1, 0.4), (2, 0.6), (4, 1.0), (8, 1.8))]
    exact = {"id": "exact", "requests_per_minute": 26.7, "latency_s": 4.0, "batch": batch, "model": "m"}
    quick = {"id": "quick", "requests_per_minute": 80, "latency_s": 1.0, "quality": 0.9, "batch": batch, "model": "m"}
    shared = parse_profile({"family": "f", "device": "a100", "levels": [exact, quick]})
    policy = make_policy("argus", Cluster({"a100": shared}, SLO))
    assert shared.level("exact").latency_full_s > SLO
    sampled = np.tile([1.0, 0.9], (8, 1))
    epoch = policy.plan(Observation(0.0, 0.1, 0.0, sampled, np.zeros(8), {}, {"a100": 1}, {"a100": {"m": 1}}))
    state = LoadState(0.0, 0.1, {"m": 0}, {"m": 1})
    for rows, level in ((0, "exact"), (5, "quick")):
        worker = Worker("w", "a100", "m", (Started(SLO, "exact"),) * rows)
        assert policy.admit(worker, [(request((1.0, 0.9)), "exact")], epoch, state).level == level


def test_argus_keeps_a_floor_whatever_the_price() -> None:
    policy, epoch = argus(3.7)
    crowded = load_state(3.7, waiting=30)
    assert policy.admit(WORKER, [(request(floor=1.0), "exact")], epoch, crowded).level == "exact"
    assert policy.route(request(floor=0.95), epoch, crowded) == "ac-10"


def test_argus_realigns_the_backlog_over_models_that_somebody_serves() -> None:
    policy, _ = argus(3.0, exact="big", ac_10="big", ac_25="small")
    epoch = policy.plan(observed(3.0, {"big": 4, "small": 4}))
    state = load_state(3.0, waiting=20, models=("big", "small"))
    waiting = [(request(tuple(q)), "exact") for q in observed(1.0, n=40).sample.tolist()]
    levels = policy.realign(waiting, epoch, state)
    assert all(epoch.workers.get(policy.cluster.holds(level)) for level in levels)
    assert len(set(levels)) > 1
    loss = {
        name: [1 - r.quality[2] for (r, _), lv in zip(waiting, levels, strict=True) if lv == name] for name in levels
    }
    assert np.mean(loss["ac-25"]) < np.mean(loss["exact"])


def test_argus_regenerates_a_score_under_the_floor_once_and_only_with_workers_to_spare() -> None:
    policy, epoch = argus(1.0)
    low = request((1.0, 0.96, 0.92), floor=0.9)
    assert policy.finished(low, "ac-25", 0.7, epoch, load_state(1.0, now=2.0)) == "exact"
    assert policy.finished(low, "ac-25", 0.95, epoch, load_state(1.0, now=2.0)) is None
    assert policy.finished(replace(low, attempt=1), "ac-25", 0.7, epoch, load_state(1.0, now=2.0)) is None
    assert policy.finished(low, "ac-25", 0.7, epoch, load_state(1.0, now=11.0)) is None
    busy_policy, busy = argus(3.7)
    assert busy_policy.finished(low, "ac-25", 0.7, busy, load_state(3.7, now=2.0)) is None


def test_a_model_that_does_not_fit_the_workers_memory_is_not_planned_there() -> None:
    policy = make_policy("argus", sized(big=9000, small=3000))
    assert policy.plan(observed(1.0)).workers == {"big": 8}
    assert policy.plan(observed(1.0, memory={"a100": 8000.0})).workers == {"small": 8}


def test_where_no_model_fits_the_limit_is_wrong_and_planning_goes_on() -> None:
    policy = make_policy("argus", sized(big=9000, small=3000))
    assert sum(policy.plan(observed(1.0, memory={"a100": 100.0})).workers.values()) == 8


def test_a_level_much_asked_for_by_name_is_a_class_with_that_level_only() -> None:
    policy = make_policy("argus", cluster(exact="big", ac_10="big", ac_25="small"))
    epoch = policy.plan(observed(0.5, {"big": 8}, named={"ac-25": 0.9}))
    assert epoch.plan.served["named/ac-25"] == {"ac-25": pytest.approx(54.0)}
    assert epoch.workers == {"big": 6, "small": 2}  # 0.9 · 2.1 s
    assert epoch.shares == {"exact": pytest.approx(1.0)}  # of what the policy chooses, all is exact


def test_a_level_now_and_then_asked_for_by_name_lowers_nobody_else() -> None:
    policy = make_policy("argus", cluster(exact="big", ac_10="big", ac_25="small"))
    one = observed(0.1, {"big": 1}, workers={"a100": 1}, named={"ac-25": 0.1})
    assert policy.plan(one).workers == {"big": 1}
    assert policy.plan(one).shares == {"exact": pytest.approx(1.0)}


@pytest.mark.parametrize("rate", [0.0, 0.02, 0.5, 1.7])
def test_while_demand_fits_exact_everything_is_exact_and_nothing_has_a_price(rate: float) -> None:
    """Also for prompts that are predicted to lose nothing, or to gain, at the cheaper levels."""
    policy = make_policy("argus", cluster(exact="big", ac_10="big", ac_25="small"))
    optimistic = np.tile([1.0, 1.02, 1.01], (32, 1))
    epoch = policy.plan(observed(rate, {"big": 4, "small": 4}, sample=optimistic, floors=np.zeros(32)))
    assert epoch.workers["big"] >= min(8, math.ceil(max(rate, 1 / 60) * 4.2))
    assert epoch.shares == {"exact": pytest.approx(1.0)}
    assert max(epoch.plan.prices.values()) == pytest.approx(0.0, abs=1e-9)
    state = LoadState(0.0, rate, {"big": 0, "small": 0}, epoch.workers)
    flattered = request((1.0, 1.02, 1.01))
    assert policy.route(flattered, epoch, state) == "exact"
    assert policy.admit(Worker("w", "a100", "big"), [(flattered, "ac-10")], epoch, state).level == "exact"
