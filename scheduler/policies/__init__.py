"""Policies: Argus and the published baselines, one small file each, one interface, live and simulated.

A policy is five decisions. None knows the database, the broker or the simulator: plain dataclasses go in and come out,
and everything that one decision hands to the next travels in the `Epoch`, which is JSON, because live they run in
different processes.

===============  ==========================  ==========================================================================
decision         where it runs live          what it decides
===============  ==========================  ==========================================================================
`plan(seen)`     scheduler tick              workers per model, load per level, prices: an `Epoch`
`route(...)`     router worker               the level a new request is queued at
`admit(...)`     a worker with a free row    which waiting request starts, at which level of the model it holds; which
                                             waiting ones are set aside because they can no longer be in time
`realign(...)`   scheduler tick              levels for what waits, after a new plan
`finished(...)`  after the score             a better level to regenerate at, or None
===============  ==========================  ==========================================================================

Times are seconds on one clock, rates requests a second in `Scene` and requests a minute in `Plan` (as in DESIGN.md).
`get("argus", cluster)` makes one; `NAMES` lists them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from core.errors import BadInput
from core.profiles import Profile
from scheduler.planning.instance import Instance, Level, Plan, PromptClass
from scheduler.planning.milp import solve
from scheduler.planning.pricing import Curve

LEAST_DEMAND = 1.0  # requests a minute that are planned for when nobody asks
NAMES = (
    "clipper-ha",
    "clipper-ht",
    "nirvana",
    "sommelier",
    "proteus",
    "pac",
    "diffserve",
    "argus-paper",
    "argus",
    "oracle",
)


@dataclass(frozen=True, slots=True)
class Request:
    """What a policy may know of one request. `quality` is predicted, one number a level in `Cluster.levels` order.

    `key` (the prompt) is what deterministic draws hash; `similarity` is the cosine to the nearest cached prompt.
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


@dataclass(frozen=True)
class Cluster:
    """What does not change between ticks: levels, what they cost on each device type, the target latency.

    `profiles` by device type; all list the same levels (those one lacks cannot run there). `slo_s` is the latency target.
    """

    profiles: Mapping[str, Profile]
    slo_s: float
    shared: bool = True  # levels of one model share its workers; False: one level a worker, as in the Argus paper
    seed: int = 0

    @cached_property
    def levels(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(level for profile in self.profiles.values() for level in profile.ids))

    def holds(self, level: str) -> str:
        """The model (or, where levels are not shared, the level) a worker is assigned to serve this level."""
        return self._holds[level]

    @cached_property
    def _holds(self) -> dict[str, str]:
        found = {level.id: level.holds for profile in self.profiles.values() for level in profile.levels}
        return found if self.shared else {level: level for level in found}

    @cached_property
    def models(self) -> dict[str, tuple[int, ...]]:
        """Indices of the levels each model serves."""
        found: dict[str, list[int]] = {}
        for i, level in enumerate(self.levels):
            found.setdefault(self.holds(level), []).append(i)
        return {model: tuple(indices) for model, indices in found.items()}

    def latency(self, device: str) -> tuple[float, ...]:
        """Seconds of one request alone, by level; infinite where it cannot run."""
        profile = self.profiles[device]
        return tuple(profile.level(lv).latency_s if lv in profile.ids else float("inf") for lv in self.levels)

    def crowded(self, device: str) -> tuple[float, ...]:
        """The same in a batch as large as pays: what to count on under load."""
        profile = self.profiles[device]
        return tuple(profile.level(lv).crowded_s if lv in profile.ids else float("inf") for lv in self.levels)

    def among(self, device: str, rows: int) -> tuple[float, ...]:
        """The same while so many rows run."""
        profile = self.profiles[device]
        return tuple(profile.level(lv).among_s(rows) if lv in profile.ids else float("inf") for lv in self.levels)

    def seconds(self, device: str) -> tuple[float, ...]:
        """Worker-seconds a request takes at the best batch, by level."""
        profile = self.profiles[device]
        return tuple(
            60 / profile.level(lv).requests_per_minute if lv in profile.ids else float("inf") for lv in self.levels
        )

    @cached_property
    def quality(self) -> tuple[float, ...]:
        """The profiles' mean relative quality, by level."""
        found = {level.id: level.quality for profile in self.profiles.values() for level in profile.levels}
        return tuple(found[level] for level in self.levels)

    def plan_levels(self) -> tuple[Level, ...]:
        """The levels as the planner reads them."""
        return tuple(
            Level(
                level,
                {d: p.level(level).requests_per_minute for d, p in self.profiles.items() if level in p.ids},
                self.holds(level) if self.shared else "",
            )
            for level in self.levels
        )


@dataclass(frozen=True)
class Observation:
    """What a tick sees. `rate` is the forecast for the coming tick in requests a second, `error` its relative error.

    `sample` holds predicted qualities of recent requests (N×L) and `floors` theirs (N). `waiting` counts what is queued
    by level, `workers` and `current` what is alive, by device type and by model, `pinned` what is in its dwell time.
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
    scores: np.ndarray = field(
        default_factory=lambda: np.zeros(0)
    )  # what `finished` saw of late (DiffServe's threshold)


@dataclass(frozen=True)
class Epoch:
    """A plan in force: what `plan` decided and everything the other three need of it. JSON both ways.

    `curves` are the models' price-of-time curves (`scheduler.planning.pricing.Curve`), `extra` what only this policy reads.
    """

    number: int
    made_at: float
    plan: Plan
    rate: float
    curves: Mapping[str, Curve] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shares(self) -> dict[str, float]:
        """Planned share of served load by level (sums to 1; empty without load)."""
        load = self.plan.load
        total = sum(load.values())
        return {level: rate / total for level, rate in load.items()} if total > 0 else {}

    @property
    def held(self) -> dict[str, int]:
        """Workers by model, over device types."""
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
            "plan": self.plan.to_json(),
            "curves": {model: curve.to_json() for model, curve in self.curves.items()},
            "extra": dict(self.extra),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Epoch:
        curves = {model: Curve.from_json(curve) for model, curve in data["curves"].items()}
        return cls(**{**data, "plan": Plan.from_json(data["plan"]), "curves": curves})


@dataclass(slots=True)
class Scene:
    """The moment: rate of arrivals (requests a second), and by model what waits, who serves, and the work in hand.

    `busy_s` is what the running rows still need, in worker-seconds. `done` counts routed requests by level in this epoch.
    `dispersion` is the variance of arrivals over their mean (1: Poisson).
    """

    now: float
    rate: float
    waiting: Mapping[str, int]
    workers: Mapping[str, int]
    busy_s: Mapping[str, float] = field(default_factory=dict)
    done: Mapping[str, int] = field(default_factory=dict)
    dispersion: float = 1.0


@dataclass(frozen=True, slots=True)
class Worker:
    """The worker that has a free row: its device type, the model it holds, the rows it is running."""

    id: str
    device: str
    model: str
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Admission:
    """Which waiting request starts (its place in `waiting`) and at which level; and the places that are set aside."""

    place: int | None = None
    level: str = ""
    aside: tuple[int, ...] = ()

    @property
    def taken(self) -> tuple[int, ...]:
        """Places that leave the queue."""
        return self.aside if self.place is None else (*self.aside, self.place)


class Policy:
    """Base of all policies: first come first served at the level routed to, nothing set aside, nothing regenerated."""

    name: ClassVar[str]
    source: ClassVar[str]
    shared: ClassVar[bool] = True  # levels of one model share its workers
    variants: ClassVar[bool] = False  # its levels are separate models: a worker that changes level loads weights
    moves: ClassVar[bool] = False  # what runs may be moved to a cheaper level, to be in time or to follow the plan
    clairvoyant: ClassVar[bool] = False  # the simulator gives it true qualities and future arrivals

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = Cluster(cluster.profiles, cluster.slo_s, self.shared, cluster.seed)
        self.levels = self.cluster.levels
        self.index = {level: i for i, level in enumerate(self.levels)}
        self.epochs = 0

    def plan(self, seen: Observation) -> Epoch:
        raise NotImplementedError

    def route(self, request: Request, epoch: Epoch, scene: Scene) -> str:
        raise NotImplementedError

    def admit(self, worker: Worker, waiting: Sequence[tuple[Request, str]], epoch: Epoch, scene: Scene) -> Admission:
        """`waiting` are (request, level routed to) of the levels this worker serves, earliest deadline first."""
        return Admission(0, waiting[0][1]) if waiting else Admission()

    def finished(self, request: Request, level: str, score: float, epoch: Epoch, scene: Scene) -> str | None:
        """A level to regenerate at, given the relative quality that `level` turned out to have."""
        return None

    def realign(self, waiting: Sequence[tuple[Request, str]], epoch: Epoch, scene: Scene) -> list[str]:
        """Levels for what waits under a new epoch. Here: what is queued where nobody serves is routed again."""
        held = epoch.held
        return [
            level if held.get(self.cluster.holds(level)) else self.route(request, epoch, scene)
            for request, level in waiting
        ]

    # -- shared by the policies -------------------------------------------------------------------------------------

    def epoch(self, seen: Observation, plan: Plan, **rest: Any) -> Epoch:
        self.epochs += 1
        return Epoch(self.epochs, seen.now, plan, seen.rate, **rest)

    def demand(self, seen: Observation) -> float:
        """Requests a minute to plan for: what is forecast, and what waits cleared within one target latency."""
        return 60 * (seen.rate + sum(seen.waiting.values()) / self.cluster.slo_s)

    def agnostic(self, seen: Observation, demand: float, headroom: float = 1.0) -> Plan:
        """The optimum without knowing prompts: one class with the profile's mean qualities (PAC)."""
        quality = dict(zip(self.levels, self.cluster.quality, strict=True))
        everyone = PromptClass("all", max(demand, LEAST_DEMAND), quality)
        plan = solve(self.instance(seen, (everyone,), headroom))
        return replace(plan, workers={d: self._busy(plan, models) for d, models in plan.workers.items()})

    def _busy(self, plan: Plan, models: Mapping[str, int]) -> dict[str, int]:
        """Workers whose level takes no load join the best level that does: the optimum is indifferent, queues are not."""
        loaded = {self.cluster.holds(level) for level in plan.load}
        used = {model: n for model, n in models.items() if model in loaded}
        if not used:
            return dict(models)
        best = max(used, key=lambda model: max(self.cluster.quality[i] for i in self.cluster.models[model]))
        used[best] += sum(n for model, n in models.items() if model not in loaded)
        return used

    def instance(self, seen: Observation, classes: tuple[PromptClass, ...], headroom: float = 1.0) -> Instance:
        levels = self.cluster.plan_levels()
        models = {level.holds for level in levels}
        held = {d: {m: n for m, n in by.items() if m in models} for d, by in seen.current.items()}
        return Instance(seen.workers, levels, classes, held, seen.switch_cost, headroom, seen.pinned)

    def least_served(self, epoch: Epoch, scene: Scene) -> str:
        """The level furthest behind its planned share (a smooth weighted round robin)."""
        shares = epoch.shares or {self.levels[0]: 1.0}
        total = sum(scene.done.values()) + 1
        return max(shares, key=lambda level: shares[level] * total - scene.done.get(level, 0))


def get(name: str, cluster: Cluster) -> Policy:
    """The policy of that name over a cluster; raises as `kind` does."""
    return kind(name)(cluster)


def kind(name: str) -> type[Policy]:
    """The policy's class. `BadInput` lists the names there are."""
    if name not in NAMES:
        raise BadInput(f"unknown policy {name!r}; there are {', '.join(NAMES)}", field="policy")
    module = importlib.import_module(f"scheduler.policies.{name.replace('-', '_')}")
    return module.policy  # type: ignore[no-any-return]
