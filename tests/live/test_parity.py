"""The live scheduler and the simulator, shown the same system, decide the same."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import update

from core.database import transaction
from core.profiles import read_profile
from core.settings import settings
from core.tables import Request, State, Worker
from scheduler.control.decide import Decision, Situation, WorkerState, decide
from scheduler.control.tick import Scheduler
from scheduler.policies import make_policy, policy_class
from scheduler.simulate import SimConfig, Workload
from scheduler.simulate.system import System
from scheduler.simulate.worker import SimWorker
from tests.live.rows import join, submit

LEVELS = ("exact", "fs-4", "sm-small")
HOLD = (("large", "exact"), ("large", "fs-4"), ("small", "sm-small"))  # model, and level where one worker has one
WAITING = 40


def qualities() -> np.ndarray:
    """What is predicted of each waiting request (N×L): different for all, so that no tie is drawn by chance."""
    tolerance = np.random.default_rng(3).exponential(size=(WAITING, 1))
    return np.round(np.clip(1 - tolerance * np.array([0.0, 0.05, 0.11]), 0, 1), 4)


def fill_database(predicted: np.ndarray, shared: bool) -> list[datetime]:
    """Workers that are full, and requests that wait for `large`; returns the deadlines."""
    for i, (model, level) in enumerate(HOLD):
        join(f"cpu{i}@test", models=(model,))
        submit(1, state=State.RUNNING, level=level, epoch=0)
        if not shared:
            with transaction() as session:
                session.get_one(Worker, f"cpu{i}@test").queues = [f"t2i.toy.{level}"]
    now = datetime.now(UTC)
    deadlines = [now + timedelta(seconds=2 + 0.2 * i) for i in range(WAITING)]
    for i, (row, deadline) in enumerate(zip(predicted, deadlines, strict=True)):
        known = dict(zip(LEVELS, row.tolist(), strict=True))
        submit(1, state=State.QUEUED, level="exact", epoch=0, prompt=f"p{i}", qualities=known, deadline_at=deadline)
    with transaction() as session:  # the sample of demand is of these alone
        session.execute(update(Request).where(Request.state == State.RUNNING).values(qualities=None))
    return deadlines


def simulated(
    predicted: np.ndarray, deadlines: Sequence[datetime], policy: str, live: Situation, slo_s: float
) -> System:
    """The same in the simulator."""
    profile = read_profile(settings().home / "profiles" / "toy" / "cpu.json")
    n = len(predicted)
    work = Workload(
        times=np.arange(n, dtype=float),
        rows=np.arange(n),
        truth=predicted,
        predicted=predicted,
        prompts=tuple(f"p{i}" for i in range(n)),
        similarity=np.zeros(n),
        batch=np.zeros(n, bool),
        duration_s=60.0,
    )
    system = System(SimConfig(policy, {"cpu": profile}, {"cpu": len(HOLD)}, slo_s), work, None)
    system.events.now = live.load.now
    for i, worker in enumerate(live.workers):
        model = worker.model or next(iter(system.waiting))
        system.workers.append(SimWorker(i, "cpu", model, system.runs("cpu", model)))
    by_key = {request.key: request for request, _ in live.waiting}
    for i, (row, deadline) in enumerate(zip(predicted.tolist(), deadlines, strict=True)):
        assert by_key[f"p{i}"].quality == tuple(row)
        assert by_key[f"p{i}"].deadline == pytest.approx(deadline.timestamp())
        system.enqueue(by_key[f"p{i}"], "exact")
        system.recent.append(i)
    return system


@pytest.mark.parametrize("policy", ["argus", "pac", "clipper-ht", "argus-paper"])
@pytest.mark.parametrize("rate", [0.5, 20.0, 60.0])
def test_the_same_system_is_decided_on_alike_live_and_simulated(family: Any, policy: str, rate: float) -> None:
    predicted = qualities()
    deadlines = fill_database(predicted, policy_class(policy).shared)
    observed = Scheduler(family, policy).observe()
    assert observed.policy is not None
    assert observed.situation is not None
    live = observed.situation
    system = simulated(predicted, deadlines, policy, live, observed.policy.cluster.slo_s)

    states = [WorkerState(w.name, w.device_type, w.model, w.loaded_s) for w in live.workers]
    twin = system.situation(rate, live.error, states)
    assert (twin.queued, twin.load.workers) == (live.queued, live.load.workers)
    assert sorted(map(tuple, twin.sample)) == sorted(map(tuple, live.sample))
    assert [request.key for request, _ in twin.waiting] == [request.key for request, _ in live.waiting]

    mine = decide(make_policy(policy, observed.policy.cluster), Situation(**{**vars(live), "rate": rate}))
    theirs = decide(system.policy, twin)
    assert plain(mine) == plain(theirs)


def plain(decision: Decision) -> dict[str, Any]:
    """A decision without what differs by nature: times and sums rounded."""
    plan = decision.epoch.plan
    return {
        "workers": plan.workers,
        "load": {level: round(rate, 3) for level, rate in plan.load.items()},
        "prices": {level: round(price, 5) for level, price in plan.prices.items()},
        "levels": list(decision.levels),
        "models": dict(decision.models),
    }
