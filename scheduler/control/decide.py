"""What one tick decides, as a pure function: the plan, levels for what waits, models for workers, batch work to start.

The live scheduler (`scheduler.control.tick`) and the simulator (`scheduler.simulate`) read their worlds into the same
`Situation`, call `decide`, and carry out the same `Decision`. Dwell time, switch cost, what is pinned and how many
workers may load at once are defined here and nowhere else.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from scheduler.policies import Epoch, LoadState, Observation, Policy, Request
from scheduler.policies.background import PACE, urgent

BATCH_AHEAD_S = 60.0  # how far ahead batch work is planned for
DWELL_S = 30.0  # a worker that has just loaded a model keeps it for so long
SWITCH_COST = 0.002  # quality × requests a minute that a switch must gain: more than the noise of a forecast
HORIZON_S = 120.0  # for how long a worker is expected to keep a model that it loads
MOVING_SHARE = 0.1  # of the workers of a model, and of all of a type, may load at the same time
SLOW_LOAD_S = 1.0  # quicker loads need no such care


@dataclass(frozen=True)
class WorkerState:
    """A worker with what it holds, or was told to hold: a model, or a level where a policy has one level a worker.

    `loaded_s` is how long ago it began to hold that by loading weights, `loading` whether it is still at it.
    """

    name: str
    device_type: str
    model: str | None
    loaded_s: float = float("inf")
    loading: bool = False

    @property
    def dwelling(self) -> bool:
        return self.loaded_s < DWELL_S


@dataclass(frozen=True)
class Situation:
    """What a tick decides on. `rate` (requests a second) and `error` are the forecast's.

    `sample` holds predicted qualities of recent requests (N×L) and `floors` theirs (N). `queued` counts what waits by
    level. `named` is the demand for levels that requests ask for by name (requests a second): `rate`, `sample` and
    `queued` are without it. `waiting` are those of them that may change level, earliest deadline first; `batch` is
    batch work that fills idle capacity, with the level that it asks for by name, likewise, and `unread` what of it is
    not queued yet, as deadlines and how many have each. `scores` are the relative qualities of recent images by level,
    `memory` MB for models by device type.
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
    unread: Sequence[tuple[float, int]] = ()


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
    now = situation.load.now + ahead_s
    return urgent(deadlines, now, policy.cluster.slo_s, PACE * per_s, situation.unread)


def observation_of(policy: Policy, situation: Situation) -> Observation:
    """The situation as policies plan for it."""
    workers = situation.workers
    loads = load_times(policy)
    slow = {device for device, times in loads.items() if max(times.values(), default=0.0) >= SLOW_LOAD_S}
    return Observation(
        now=situation.load.now,
        rate=situation.rate,
        error=situation.error,
        sample=situation.sample,
        floors=situation.floors,
        waiting=situation.queued,
        workers=Counter(worker.device_type for worker in workers),
        current=by_model(workers),
        pinned=_pinned(workers, slow),
        tick_s=situation.tick_s,
        switch_cost=SWITCH_COST,
        scores=situation.scores,
        memory=situation.memory,
        named=situation.named,
        batch_rate=len(_urgent(policy, situation, BATCH_AHEAD_S)) / BATCH_AHEAD_S,
        load_share={device: {m: s / HORIZON_S for m, s in times.items()} for device, times in loads.items()},
        loading=by_model([worker for worker in workers if worker.loading and not policy.cluster.all_fit]),
        max_moves={device: _max_moves(workers, device) for device in slow},
    )


def load_times(policy: Policy) -> dict[str, dict[str, float]]:
    """Seconds that loading a model takes, by device type; none where workers hold levels that share weights, or where
    they have memory for all models.
    """
    if not policy.shared or policy.cluster.all_fit:
        return {}
    profiles = policy.cluster.profiles
    return {device: {level.holds: level.load_s for level in profile.levels} for device, profile in profiles.items()}


def _pinned(workers: Sequence[WorkerState], slow: Collection[str]) -> dict[str, dict[str, int]]:
    """Workers that keep what they hold: those in their dwell time; where loading is slow, all but a few of a model."""
    found = by_model([worker for worker in workers if worker.dwelling])
    for device, models in by_model(workers).items():
        for model, n in models.items() if device in slow else ():
            of_type = found.setdefault(device, {})
            of_type[model] = max(of_type.get(model, 0), n - _few(n))
    return found


def _max_moves(workers: Sequence[WorkerState], device: str) -> int:
    """Workers of a device type that may begin to load now: a few of all, less those that are at it."""
    mine = [worker for worker in workers if worker.device_type == device]
    return max(0, _few(len(mine)) - sum(worker.loading for worker in mine))


def _few(workers: int) -> int:
    return max(1, math.ceil(MOVING_SHARE * workers))


def by_model(workers: Sequence[WorkerState]) -> dict[str, dict[str, int]]:
    """Workers by device type and by what they hold; those that hold nothing known are left out."""
    found: dict[str, dict[str, int]] = {}
    for worker in workers:
        if worker.model is not None:
            of_type = found.setdefault(worker.device_type, {})
            of_type[worker.model] = of_type.get(worker.model, 0) + 1
    return found


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
