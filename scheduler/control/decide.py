"""What one tick decides, as a pure function: the plan, levels for what waits, models for workers, batch work to start.

The live scheduler (`scheduler.control.tick`) and the simulator (`scheduler.simulate`) read their worlds into the same
`Situation`, call `decide`, and carry out the same `Decision`. Dwell time, switch cost and what is pinned are defined
here and nowhere else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from core.profiles import Profile
from scheduler.policies import Epoch, LoadState, Observation, Policy, Request
from scheduler.policies.background import PACE, urgent

BATCH_AHEAD_S = 60.0  # how far ahead batch work is planned for
DWELL_S = 30.0  # a worker that has just loaded a model keeps it for so long


@dataclass(frozen=True)
class WorkerState:
    """A worker with what it holds, or was told to hold: a model, or a level where a policy has one level a worker.

    `loaded_s` is how long ago it began to hold that by loading weights.
    """

    name: str
    device_type: str
    model: str | None
    loaded_s: float = float("inf")

    @property
    def dwelling(self) -> bool:
        return self.loaded_s < DWELL_S


@dataclass(frozen=True)
class Situation:
    """What a tick decides on. `rate` (requests a second) and `error` are the forecast's.

    `sample` holds predicted qualities of recent requests (N×L) and `floors` theirs (N). `queued` counts what waits by
    level. `named` is the demand for levels that requests ask for by name (requests a second): `rate`, `sample` and
    `queued` are without it. `waiting` are those of them that may change level, earliest deadline first; `batch` is batch
    work that fills idle capacity, with the level that it asks for by name, likewise. `scores` are the relative
    qualities of recent images by level, `memory` MB for models by device type.
    """

    rate: float
    error: float
    sample: np.ndarray
    floors: np.ndarray
    queued: Mapping[str, int]
    waiting: Sequence[tuple[Request, str]]
    workers: Sequence[WorkerState]
    load: LoadState
    tick_s: float = 10.0
    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)
    memory: Mapping[str, float] = field(default_factory=dict)
    named: Mapping[str, float] = field(default_factory=dict)
    batch: Sequence[tuple[Request, str]] = ()


@dataclass(frozen=True)
class Decision:
    """The plan, the level of each of `Situation.waiting`, the model of each worker by name; and the batch work that may
    wait no longer, as level by index into `Situation.batch`."""

    epoch: Epoch
    levels: Sequence[str]
    models: Mapping[str, str]
    urgent: Mapping[int, str] = field(default_factory=dict)


def decide(policy: Policy, situation: Situation) -> Decision:
    """Plan, re-align what waits under the new plan, and say which workers are to hold what."""
    epoch = policy.plan(observation_of(policy, situation))
    load = replace(situation.load, routed={})
    levels = policy.realign(situation.waiting, epoch, load)
    models = assign_models(situation.workers, epoch.plan.workers)
    return Decision(epoch, levels, models, urgent_batch(policy, situation, epoch, load))


def urgent_batch(policy: Policy, situation: Situation, epoch: Epoch, load: LoadState) -> dict[int, str]:
    """Batch work that would miss its window if it waited for idle capacity until the next tick, and its levels."""
    found = _urgent(policy, situation, situation.tick_s)
    return {i: situation.batch[i][1] or policy.route(situation.batch[i][0], epoch, load) for i in found}


def _urgent(policy: Policy, situation: Situation, ahead_s: float) -> list[int]:
    """Indices of the batch work whose slack will be used up so many seconds ahead."""
    profiles = policy.cluster.profiles
    per_s = sum(profiles[w.device_type].reference.requests_per_minute / 60 for w in situation.workers)
    deadlines = [request.deadline for request, _ in situation.batch]
    return urgent(deadlines, situation.load.now + ahead_s, policy.cluster.slo_s, PACE * per_s)


def observation_of(policy: Policy, situation: Situation) -> Observation:
    """The situation as policies plan for it."""
    return Observation(
        now=situation.load.now,
        rate=situation.rate,
        error=situation.error,
        sample=situation.sample,
        floors=situation.floors,
        waiting=situation.queued,
        workers=Counter(worker.device_type for worker in situation.workers),
        current=by_model(situation.workers),
        pinned=by_model([worker for worker in situation.workers if worker.dwelling]),
        tick_s=situation.tick_s,
        switch_cost=switch_cost(policy.cluster.profiles),
        scores=situation.scores,
        memory=situation.memory,
        named=situation.named,
        batch_rate=len(_urgent(policy, situation, BATCH_AHEAD_S)) / BATCH_AHEAD_S,
    )


def by_model(workers: Sequence[WorkerState]) -> dict[str, dict[str, int]]:
    """Workers by device type and by what they hold; those that hold nothing known are left out."""
    found: dict[str, dict[str, int]] = {}
    for worker in workers:
        if worker.model is not None:
            of_type = found.setdefault(worker.device_type, {})
            of_type[worker.model] = of_type.get(worker.model, 0) + 1
    return found


def switch_cost(profiles: Mapping[str, Profile]) -> float:
    """What a switch must gain, in quality × requests a minute: the work not done while loading, over the dwell time."""
    costs = [
        profile.reference.load_s / DWELL_S * profile.reference.requests_per_minute for profile in profiles.values()
    ]
    return max(costs, default=0.0)


def assign_models(workers: Sequence[WorkerState], planned: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
    """The model of each worker under a plan (workers by device type and model). Those that hold what is planned stay;
    of the others the last listed move first."""
    found: dict[str, str] = {}
    for device_type, models in planned.items():
        free = [worker for worker in workers if worker.device_type == device_type]
        missing = Counter({model: n for model, n in models.items() if n > 0})
        for worker in list(free):
            if worker.model is not None and missing[worker.model] > 0:
                missing[worker.model] -= 1
                found[worker.name] = worker.model
                free.remove(worker)
        found.update({worker.name: model for worker, model in zip(free, missing.elements(), strict=False)})
    return found
