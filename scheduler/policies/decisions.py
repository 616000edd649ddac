"""What goes into a policy's decisions and what comes out: plain dataclasses, no database, broker or simulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from scheduler.planning.instance import Plan
from scheduler.planning.pricing import PriceCurve

PLAN_FORMAT = 1  # of an epoch in JSON; raised when the version before would misread it
NAMED = "named/"  # prefix of the prompt classes of requests that name their level


@dataclass(frozen=True, slots=True)
class Request:
    """What a policy may know of one request. `quality` is predicted, one number a level in `Cluster.levels` order.

    `key` (the prompt) is what deterministic draws hash; `similarity` is the cosine to the nearest cached prompt;
    `done` the share of its work that a paused one has behind it. `lengths` are its work by level, in requests of the
    family's usual steps and size; empty where it is such a one.
    """

    id: int | str
    key: str
    arrived: float
    deadline: float
    quality: tuple[float, ...]
    floor: float = 0.0
    similarity: float = 0.0
    batch: bool = False
    attempt: int = 0
    done: float = 0.0
    lengths: tuple[float, ...] = ()
    tenant: str = ""

    def work(self, level: int) -> float:
        """What is left to do at a level (its place in `Cluster.levels`), in usual requests."""
        return (1 - self.done) * (self.lengths[level] if self.lengths else 1.0)


@dataclass(frozen=True)
class Observation:
    """What a plan is made from.

    `rate` is the forecast for the coming tick, in requests a second, and `error` its relative error.

    `sample` holds predicted qualities of recent requests (N×L) and `floors` theirs (N). `waiting` counts what is queued
    by level; `workers` and `current` the live workers by device type and by model; `pinned` those in their dwell time.
    `named` is the demand for levels that requests ask for by name, in requests a second; `rate`, `sample` and `waiting`
    are without it. `batch_rate` is the batch work whose slack will be used up, in requests a second. `load_share`,
    `loading` and `max_moves` are as in `Instance`. `memory` is MB for models by device type (one that is missing has no
    limit). `scores` are the relative qualities of recent images by level (DiffServe's threshold).
    """

    now: float
    rate: float
    error: float
    sample: np.ndarray
    floors: np.ndarray
    waiting: Mapping[str, int]
    workers: Mapping[str, int]
    current: Mapping[str, Mapping[str, int]]
    pinned: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    tick_s: float = 10.0
    switch_cost: float = 0.0
    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)
    memory: Mapping[str, float] = field(default_factory=dict)
    named: Mapping[str, float] = field(default_factory=dict)
    batch_rate: float = 0.0
    load_share: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    loading: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    max_moves: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Epoch:
    """A plan in force: what `plan` decided and everything the later decisions need of it. JSON both ways.

    `curves` are the models' price curves (`PriceCurve` of `scheduler.planning.pricing`), `extra` what only this policy
    reads.
    """

    number: int
    made_at: float
    plan: Plan
    rate: float
    curves: Mapping[str, PriceCurve] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shares(self) -> dict[str, float]:
        """Planned share by level of the load whose levels the policy chooses (sums to 1; empty without load)."""
        load: dict[str, float] = {}
        for asked, rates in self.plan.served.items():
            for level, rate in rates.items() if not asked.startswith(NAMED) else ():
                load[level] = load.get(level, 0.0) + rate
        total = sum(load.values())
        return {level: rate / total for level, rate in load.items()} if total > 0 else {}

    @property
    def workers(self) -> dict[str, int]:
        """Planned workers by model, over device types."""
        found: dict[str, int] = {}
        for models in self.plan.workers.values():
            for model, n in models.items():
                found[model] = found.get(model, 0) + n
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "made_at": self.made_at,
            "rate": self.rate,
            "plan": {**self.plan.to_json(), "format": PLAN_FORMAT},
            "curves": {model: curve.to_json() for model, curve in self.curves.items()},
            "extra": dict(self.extra),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Epoch:
        curves = {model: PriceCurve.from_json(curve) for model, curve in data["curves"].items()}
        known = {field.name: data[field.name] for field in fields(cls) if field.name in data}
        return cls(**{**known, "plan": Plan.from_json(data["plan"]), "curves": curves})


@dataclass(slots=True)
class LoadState:
    """The load now: arrivals (requests a second), and by model the requests waiting, the workers, the work in progress.

    `busy_s` is what the running requests still need, in worker-seconds. `routed` counts requests routed by level in
    this epoch. `dispersion` is the variance of arrivals over their mean (1: Poisson).
    """

    now: float
    rate: float
    waiting: Mapping[str, int]
    workers: Mapping[str, int]
    busy_s: Mapping[str, float] = field(default_factory=dict)
    routed: Mapping[str, int] = field(default_factory=dict)
    dispersion: float = 1.0


@dataclass(frozen=True, slots=True)
class Started:
    """A request that a worker is running: when it is due, at which level, what is left in requests of usual length."""

    deadline: float
    level: str
    left: float = 1.0


@dataclass(frozen=True, slots=True)
class Worker:
    """The worker that has room: its device type, what it holds (`Cluster.holds`), the requests it is running."""

    id: str
    device: str
    model: str
    running: tuple[Started, ...] = ()


@dataclass(frozen=True, slots=True)
class Admission:
    """Which waiting request starts and at which level; which ones can no longer be in time.

    `start` and `unreachable` are indices into what was waiting.
    """

    start: int | None = None
    level: str = ""
    unreachable: tuple[int, ...] = ()

    def among(self, kept: Sequence[int], gone: Sequence[int]) -> Admission:
        """The same where those it was made of were the `kept` of all that waited, and those `gone` are not in time."""
        late = sorted([*gone, *(kept[i] for i in self.unreachable)])
        return Admission(None if self.start is None else kept[self.start], self.level, tuple(late))

    @property
    def removed(self) -> tuple[int, ...]:
        """Indices of the requests that leave the queue."""
        return self.unreachable if self.start is None else (*self.unreachable, self.start)
