"""What a tick decides, live and simulated."""

from __future__ import annotations

import numpy as np
import pytest

from scheduler.control.decide import DWELL_S, Situation, WorkerState, assign_models, decide, observation_of
from scheduler.policies import LoadState, make_policy
from tests.scheduler.policies.test_policies import cluster, profile, request


def situation(workers: list[WorkerState], rate: float = 1.0, **rest: object) -> Situation:
    load = LoadState(0.0, rate, {}, {"sdxl": len(workers)}, routed={"exact": 9})
    base = {"sample": np.tile([1.0, 0.96, 0.92], (8, 1)), "floors": np.zeros(8), "queued": {}, "waiting": []}
    return Situation(rate, 0.0, workers=workers, load=load, **{**base, **rest})  # type: ignore[arg-type]


def test_workers_that_hold_what_is_planned_stay() -> None:
    workers = [WorkerState(name, "cpu", model) for name, model in (("a", "large"), ("b", "small"), ("c", "small"))]
    assert assign_models(workers, {"cpu": {"small": 1, "large": 2}}) == {"a": "large", "b": "small", "c": "large"}


def test_a_worker_that_has_just_loaded_is_pinned_and_one_that_has_not_is_free() -> None:
    workers = [
        WorkerState("new", "a100", "sdxl", DWELL_S - 1),
        WorkerState("old", "a100", "sdxl", DWELL_S + 1),
        WorkerState("first", "a100", None),
    ]
    observed = observation_of(make_policy("argus", cluster()), situation(workers))
    assert observed.workers == {"a100": 3}
    assert observed.current == {"a100": {"sdxl": 2}}
    assert observed.pinned == {"a100": {"sdxl": 1}}


def test_a_switch_must_gain_what_the_worker_could_have_done_while_it_loads() -> None:
    heavy = profile().model_dump()
    for level in heavy["levels"]:
        level["load_s"] = 15.0
    policy = make_policy("argus", type(cluster())({"a100": type(profile()).model_validate(heavy)}, 12.6))
    observed = observation_of(policy, situation([WorkerState("w", "a100", "sdxl")]))
    assert observed.switch_cost == pytest.approx(15.0 / DWELL_S * 60 / 4.2)


def test_what_waits_is_realigned_under_the_new_plan_and_not_by_what_the_old_one_routed() -> None:
    """A level-a-worker policy routes again what waits where the new plan has nobody."""
    policy = make_policy("pac", cluster())
    workers = [WorkerState(f"w{i}", "a100", "ac-25") for i in range(8)]
    waiting = [(request(), "ac-10")] * 3
    decision = decide(policy, situation(workers, rate=8 / 4.2 * 0.9, waiting=waiting, queued={"ac-10": 3}))
    planned = decision.epoch.workers
    assert set(decision.levels) <= set(planned)
    assert sorted(decision.models.values()) == sorted(model for model, n in planned.items() for _ in range(n))
