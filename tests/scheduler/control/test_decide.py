"""What a tick decides, live and simulated."""

from __future__ import annotations

import numpy as np

from core.profiles import parse_profile
from scheduler.control.decide import DWELL_S, Situation, WorkerState, assign_models, decide, observation_of
from scheduler.policies import Cluster, LoadState, make_policy
from tests.scheduler.policies.small_cluster import SLO, cluster, profile, request


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


def heavy(load_s: float) -> Cluster:
    """Models `big` (exact, ac-10) and `small` (ac-25) that take so long to load."""
    data = profile(exact="big", ac_10="big", ac_25="small").model_dump()
    for level in data["levels"]:
        level["load_s"] = load_s
    return Cluster({"a100": parse_profile(data)}, SLO)


def test_an_idle_worker_goes_back_to_the_model_of_exact_though_loading_it_takes_long() -> None:
    policy = make_policy("argus", heavy(20.0))
    decision = decide(policy, situation([WorkerState("w", "a100", "small")], rate=0.0))
    assert decision.models == {"w": "big"}


def test_a_worker_that_is_needed_does_not_leave_to_load() -> None:
    policy = make_policy("argus", heavy(20.0))
    workers = [WorkerState(f"w{i}", "a100", "small") for i in range(2)]
    decision = decide(policy, situation(workers, rate=0.95 * 2 / 2.1))
    assert set(decision.models.values()) == {"small"}


def test_of_a_thousand_workers_a_tenth_loads_at_a_time_and_the_rest_follow() -> None:
    policy = make_policy("argus", heavy(15.0))
    states = {f"w{i:03}": WorkerState(f"w{i:03}", "a100", "big") for i in range(1000)}
    held: list[int] = []
    for tick in range(16):
        decision = decide(policy, situation(list(states.values()), rate=1000 / 2.4))
        moved = {name for name, state in states.items() if decision.models[name] != state.model}
        at_once = len(moved) + sum(state.loading for state in states.values())
        assert at_once <= 100, tick
        for name, state in states.items():  # ticks of ten seconds, loads of fifteen
            age = 0.0 if name in moved else state.loaded_s + 10
            states[name] = WorkerState(name, "a100", decision.models[name], age, age < 15)
        held.append(sum(state.model == "small" for state in states.values()))
    assert held == sorted(held)
    assert held[0] == 100
    assert held[-1] > 500


def test_loads_of_a_moment_are_not_held_back() -> None:
    policy = make_policy("argus", heavy(0.1))
    workers = [WorkerState(f"w{i}", "a100", "big") for i in range(20)]
    decision = decide(policy, situation(workers, rate=20 / 2.15))
    assert sum(model == "small" for model in decision.models.values()) > 10


def test_what_waits_is_realigned_under_the_new_plan_and_not_by_what_the_old_one_routed() -> None:
    """A level-a-worker policy routes again what waits where the new plan has nobody."""
    policy = make_policy("pac", cluster())
    workers = [WorkerState(f"w{i}", "a100", "ac-25") for i in range(8)]
    waiting = [(request(), "ac-10")] * 3
    decision = decide(policy, situation(workers, rate=8 / 4.2 * 0.9, waiting=waiting, queued={"ac-10": 3}))
    planned = decision.epoch.workers
    assert set(decision.levels) <= set(planned)
    assert sorted(decision.models.values()) == sorted(model for model, n in planned.items() for _ in range(n))
