"""Who joins what a worker runs, who waits for its end, and how many are reckoned with meanwhile."""

from __future__ import annotations

import numpy as np
import pytest

from core.profiles import parse_profile
from scheduler.policies import Cluster, Epoch, LoadState, Observation, Policy, Request, Started, Worker, make_policy
from scheduler.policies.joining import Joining

PAIRS = [{"size": 1, "step_s": 1.0}, {"size": 2, "step_s": 1.6}]
HELD = "big+small"


def policy() -> Policy:
    """A dear model and a quick one on workers that hold both; two rows of a model take 1.6 times as long as one."""
    levels = [
        {"id": "exact", "requests_per_minute": 37.5, "latency_s": 2.0, "model": "big", "memory_mb": 1, "batch": PAIRS},
        {
            "id": "quick",
            "requests_per_minute": 375,
            "latency_s": 0.2,
            "quality": 0.9,
            "model": "small",
            "memory_mb": 1,
            "batch": PAIRS,
        },
    ]
    device = parse_profile({"family": "f", "device": "gpu", "levels": levels})
    return make_policy("argus", Cluster({"gpu": device}, 20.0, memory={"gpu": 10.0}))


def plan(argus: Policy, rate: float) -> Epoch:
    sampled = np.tile([1.0, 0.9], (8, 1))
    return argus.plan(Observation(0.0, rate, 0.0, sampled, np.zeros(8), {}, {"gpu": 1}, {"gpu": {HELD: 1}}))


def started(argus: Policy, waiting: int, deadline: float, running: Started, rate: float = 0.01) -> str:
    """The level at which the first of some equal requests starts; empty where all wait."""
    queue = [(Request(i, "p", 0.0, deadline, (1.0, 0.9)), "exact") for i in range(waiting)]
    state = LoadState(0.0, rate, {HELD: waiting}, {HELD: 1}, {HELD: 2.0 * running.left})
    return argus.admit(Worker("w", "gpu", HELD, (running,)), queue, plan(argus, rate), state).level


def test_a_request_with_time_rather_waits_for_what_runs_than_start_at_a_poor_level_beside_it() -> None:
    argus = policy()
    assert started(argus, 1, 20.0, Started(2.5, "exact")) == ""
    assert started(argus, 1, 20.0, Started(20.0, "exact")) == "exact"  # nobody would be late: it joins


def test_a_request_without_that_time_starts_at_once_at_what_makes_nobody_late() -> None:
    assert started(policy(), 1, 3.5, Started(2.5, "exact")) == "quick"


def test_nobody_waits_for_the_sake_of_quality_while_a_crowd_does() -> None:
    assert started(policy(), 60, 20.0, Started(2.5, "exact"), rate=4.0) == "quick"


@pytest.mark.parametrize(("left", "in_time"), [(3.5, False), (4.5, True)])
def test_who_runs_longer_is_joined_by_more(left: float, in_time: bool) -> None:
    """At two arrivals a second, six are reckoned with in the two seconds that it takes alone: 3.2 s. But by then more
    have come, and so on: 4.2 s."""
    argus = policy()
    state = LoadState(0.0, 2.0, {HELD: 1}, {HELD: 1})
    joining = Joining(argus.latencies, Worker("w", "gpu", HELD), [0, 1], left, 0, state)
    assert (0 in joining.in_time) is in_time
