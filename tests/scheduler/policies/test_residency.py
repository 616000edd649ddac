"""Models that share a worker's memory, and who may join what it runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.profiles import parse_profile
from scheduler.policies import Cluster, LoadState, Observation, Request, Started, Worker, make_policy

HALF = [{"size": 1, "step_s": 1.0}, {"size": 2, "step_s": 1.6}]


def resident(memory: float) -> Cluster:
    """A dear model `big` and a quick one `small` that take 1,000 MB each, on workers with so much memory."""
    levels = [
        {"id": "exact", "requests_per_minute": 20, "latency_s": 3.0, "model": "big", "memory_mb": 1000},
        {
            "id": "quick",
            "requests_per_minute": 200,
            "latency_s": 0.3,
            "quality": 0.9,
            "model": "small",
            "memory_mb": 1000,
        },
    ]
    return Cluster(
        {"gpu": parse_profile({"family": "f", "device": "gpu", "levels": levels})}, 9.0, memory={"gpu": memory}
    )


def test_models_that_fit_into_memory_together_are_held_together() -> None:
    both, one = resident(2000.0), resident(1999.0)
    assert both.all_fit
    assert both.holds("exact") == both.holds("quick")
    assert both.models_held(both.holds("exact")) == ("big", "small")
    assert both.memory_mb == {both.holds("exact"): 2000}
    assert not one.all_fit
    assert one.models_held(one.holds("quick")) == ("small",)
    assert not Cluster(both.profiles, both.slo_s).all_fit  # memory that nobody measured
    assert replace(both, shared=False).models_held("quick") == ("small",)


def test_a_worker_that_holds_all_models_draws_exactly_until_somebody_would_be_late_by_it() -> None:
    policy = make_policy("argus", resident(2000.0))
    held = policy.cluster.holds("exact")
    sampled = np.tile([1.0, 0.9], (8, 1))
    epoch = policy.plan(Observation(0.0, 0.2, 0.0, sampled, np.zeros(8), {}, {"gpu": 1}, {"gpu": {held: 1}}))
    assert epoch.workers == {held: 1}
    waiting = [(Request(i, str(i), 0.0, 9.0, (1.0, 0.9)), "exact") for i in range(3)]
    state = LoadState(0.0, 0.2, {held: 1}, {held: 1})
    assert policy.admit(Worker("w", "gpu", held), waiting[:1], epoch, state).level == "exact"
    late = replace(state, now=5.9)
    assert policy.admit(Worker("w", "gpu", held), waiting[:1], epoch, late).level == "exact"
    assert policy.admit(Worker("w", "gpu", held), waiting, epoch, replace(late, waiting={held: 3})).level == "quick"


def test_nobody_joins_who_would_make_a_running_request_late() -> None:
    levels = [
        {"id": "exact", "requests_per_minute": 30, "latency_s": 2.0, "model": "m", "batch": HALF},
        {"id": "quick", "requests_per_minute": 300, "latency_s": 0.2, "quality": 0.9, "model": "m", "batch": HALF},
    ]
    policy = make_policy(
        "argus", Cluster({"gpu": parse_profile({"family": "f", "device": "gpu", "levels": levels})}, 20.0)
    )
    sampled = np.tile([1.0, 0.9], (8, 1))
    epoch = policy.plan(Observation(0.0, 0.01, 0.0, sampled, np.zeros(8), {}, {"gpu": 1}, {"gpu": {"m": 1}}))
    state = LoadState(0.0, 0.01, {"m": 1}, {"m": 1})
    for deadline, own, level in ((20.0, 20.0, "exact"), (2.5, 3.5, "quick")):
        waiting = [(Request(1, "p", 0.0, own, (1.0, 0.9)), "exact")]
        worker = Worker("w", "gpu", "m", (Started(deadline, "exact"),))
        assert policy.admit(worker, waiting, epoch, state).level == level
