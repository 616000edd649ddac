"""What the planner is asked and what it answers: frozen dataclasses, checked at construction, with their JSON.

The JSON is what `argus solve` reads and writes (docs/formats.md); unknown fields are refused so that a typo is not a
silent default.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from core.errors import BadInstance

EPS = 1e-9
LARGEST = 10**9  # of counts and amounts: beyond it the solver's tolerances mean nothing
Counts = Mapping[str, Mapping[str, int]]  # device type → model → workers
T = TypeVar("T")


@dataclass(frozen=True)
class Level:
    """A level and what one worker of each device type carries of it, in requests a minute."""

    id: str
    throughput: Mapping[str, float]
    model: str = ""

    @property
    def holds(self) -> str:
        """The model its workers must hold; a level without one is a model of its own."""
        return self.model or self.id


@dataclass(frozen=True)
class PromptClass:
    """Prompts that lose alike: demand in requests a minute, relative quality by level, and the least they accept.

    `weight` is what a request of it counts beside one of weight 1, in being served and in its quality: a tenant's or
    service class's share of what is short.
    """

    id: str
    demand: float
    quality: Mapping[str, float]
    floor: float = 0.0
    weight: float = 1.0

    def allows(self, level: str) -> bool:
        return self.quality.get(level, -math.inf) >= self.floor - EPS


@dataclass(frozen=True)
class Instance:
    """Everything a plan depends on. `BadInstance` at construction, naming the field, when it cannot be solved.

    `devices` workers by type; `current`, `pinned` workers by type and model (what they hold, how many must stay);
    `memory` MB by type and `model_memory` MB by model (a model that does not fit cannot run there); `switch_cost` in
    relative quality × requests a minute that one worker's switch must gain; `headroom` divides capacity. `load_share`
    is the share of its time with a new model that a worker loses by loading it, by type and model, `loading` the
    workers that load now and serve nothing (they are in `current`), `max_moves` how many of a type may begin to.
    """

    devices: Mapping[str, int]
    levels: tuple[Level, ...]
    classes: tuple[PromptClass, ...]
    current: Counts = field(default_factory=dict)
    switch_cost: float = 0.0
    headroom: float = 1.0
    pinned: Counts = field(default_factory=dict)
    memory: Mapping[str, float] = field(default_factory=dict)
    model_memory: Mapping[str, float] = field(default_factory=dict)
    load_share: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    loading: Counts = field(default_factory=dict)
    max_moves: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for problem, where in _problems(self):
            raise BadInstance(f"{where}: {problem}", field=where)

    @property
    def models(self) -> tuple[str, ...]:
        """Every model a level runs on, in the levels' order."""
        return tuple(dict.fromkeys(level.holds for level in self.levels))

    @property
    def placements(self) -> list[tuple[Level, str]]:
        """Where each level can run: (level, device type) with a throughput, a worker, and room for the model."""
        return [(level, device) for level in self.levels for device in self.devices if self._runs(level, device)]

    def _runs(self, level: Level, device: str) -> bool:
        fits = self.model_memory.get(level.holds, 0.0) <= self.memory.get(device, math.inf)
        return fits and self.devices[device] > 0 and device in level.throughput

    def holding(self, device: str, model: str) -> int:
        """Workers of a type that hold a model now."""
        return self.current.get(device, {}).get(model, 0)

    def lost(self, device: str, model: str) -> float:
        """Share of the horizon that a worker which loads this model serves nothing."""
        return min(1.0, self.load_share.get(device, {}).get(model, 0.0))

    @classmethod
    def from_json(cls, data: str | bytes | Mapping[str, Any]) -> Instance:
        """The instance in JSON text or parsed JSON. Raises `BadInstance` with the field."""
        if isinstance(data, str | bytes):
            try:
                data = json.loads(data)
            except ValueError as e:
                raise BadInstance(f"not JSON: {e}", field="instance") from e
        levels = [_build(Level, e, f"levels[{i}]") for i, e in enumerate(_list(data, "levels"))]
        classes = [_build(PromptClass, e, f"classes[{i}]") for i, e in enumerate(_list(data, "classes"))]
        return _build(cls, {**data, "levels": tuple(levels), "classes": tuple(classes)}, "")  # type: ignore[dict-item]

    def to_json(self) -> dict[str, Any]:
        """The same as parsed JSON; empty optional fields are left out."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        plain["levels"] = [_filled(level) for level in self.levels]
        plain["classes"] = [_without_usual_weight(_filled(c)) for c in self.classes]
        optional = ("pinned", "memory", "model_memory", "load_share", "loading", "max_moves")
        return {key: _plain(value) for key, value in plain.items() if value or key not in optional}


@dataclass(frozen=True)
class Plan:
    """What the planner decided. Rates in requests a minute, prices in relative quality a request.

    `served_total` and `quality_total` count each request once, whatever its class's weight.

    `status`: `optimal` (within `gap`), `feasible` (the time limit came first; `gap` says how far off at most), `greedy`
    (the solver had no answer). `reason` says why it is not optimal. `objective` is the weighted quality less the switch
    cost; `spare` the capacity that stays idle, in workers; `moves` the workers that load another model.
    """

    status: str
    objective: float
    served_total: float
    quality_total: float
    workers: Counts
    served: Mapping[str, Mapping[str, float]]
    shed: Mapping[str, float]
    prices: Mapping[str, float]
    seconds: float
    gap: float = 0.0
    moves: int = 0
    spare: float = 0.0
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        return cls(**{f.name: data[f.name] for f in fields(cls) if f.name in data})

    @property
    def load(self) -> dict[str, float]:
        """Requests a minute at each level, over all classes."""
        total: dict[str, float] = {}
        for rates in self.served.values():
            for level, rate in rates.items():
                total[level] = total.get(level, 0.0) + rate
        return total

    @property
    def quality(self) -> float:
        """Mean relative quality of what is served (1 when nothing is)."""
        return self.quality_total / self.served_total if self.served_total > EPS else 1.0


def _problems(inst: Instance) -> Iterator[tuple[str, str]]:
    """What makes an instance unsolvable as written, with the field; the first one is raised."""
    for device, n in _items(inst.devices, "devices"):
        yield from _count(n, f"devices.{device}")
    if not sum(inst.devices.values()):
        yield "there are no workers; start one (`argus up`) or give a device type a count above 0", "devices"
    if not inst.levels:
        yield "there are no levels", "levels"
    yield from _repeats([level.id for level in inst.levels], "levels")
    yield from _repeats([c.id for c in inst.classes], "classes")
    for i, level in enumerate(inst.levels):
        for device, rate in _items(level.throughput, f"levels[{i}].throughput"):
            yield from _amount(rate, f"levels[{i}].throughput.{device}", above=True)
    for i, c in enumerate(inst.classes):
        yield from _class_problems(inst, c, f"classes[{i}]")
    yield from _worker_problems(inst, inst.current, "current")
    yield from _worker_problems(inst, inst.pinned, "pinned")
    yield from _amount(inst.switch_cost, "switch_cost")
    yield from _amount(inst.headroom, "headroom", above=True)
    yield from _worker_problems(inst, inst.loading, "loading")
    for device, moves in _items(inst.max_moves, "max_moves"):
        yield from _count(moves, f"max_moves.{device}")
    for device, shares in _items(inst.load_share, "load_share"):
        for model, share in _items(shares, f"load_share.{device}"):
            yield from _amount(share, f"load_share.{device}.{model}")
    for name, sizes in (("memory", inst.memory), ("model_memory", inst.model_memory)):
        for key, size in _items(sizes, name):
            yield from _amount(size, f"{name}.{key}")
    if not inst.placements:
        yield "no level has a throughput on a device type that has workers and room for its model", "levels"


def _class_problems(inst: Instance, c: PromptClass, where: str) -> Iterator[tuple[str, str]]:
    known = {level.id for level in inst.levels}
    yield from _amount(c.demand, f"{where}.demand")
    yield from _amount(c.floor, f"{where}.floor")
    yield from _amount(c.weight, f"{where}.weight", above=True)
    for level, quality in _items(c.quality, f"{where}.quality"):
        if level not in known:
            yield f"unknown level {level!r}; there are {', '.join(sorted(known))}", f"{where}.quality.{level}"
        yield from _amount(quality, f"{where}.quality.{level}")
    if c.demand > 0 and not any(c.allows(level) for level in known):
        yield f"no level reaches {c.floor:g}; lower the floor or give a level that does", f"{where}.floor"


def _worker_problems(inst: Instance, counts: Counts, name: str) -> Iterator[tuple[str, str]]:
    for device, models in _items(counts, name):
        if device not in inst.devices:
            yield "unknown device type; `devices` does not list it", f"{name}.{device}"
        for model, n in _items(models, f"{name}.{device}"):
            yield from _count(n, f"{name}.{device}.{model}")
            if name == "pinned" and n and (model, device) not in {(lv.holds, d) for lv, d in inst.placements}:
                yield "a pinned model that cannot run there", f"{name}.{device}.{model}"
        if sum(models.values()) > inst.devices.get(device, 0):
            yield f"{sum(models.values())} workers, `devices` has {inst.devices.get(device, 0)}", f"{name}.{device}"


def _count(value: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST:
        yield f"must be a whole number from 0 to {LARGEST:,}, not {_shown(value)}", where


def _amount(value: Any, where: str, above: bool = False) -> Iterator[tuple[str, str]]:
    number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LARGEST
    if not number or (above and value < 1 / LARGEST):
        at_least = f"above 1/{LARGEST:,}" if above else "of 0 or more"
        yield f"must be a number {at_least} and up to {LARGEST:,}, not {_shown(value)}", where


def _shown(value: Any) -> str:
    """For a message: the value, unless it is a number with hundreds of digits."""
    huge = isinstance(value, int) and abs(value) > LARGEST
    return "a number that is too large" if huge else f"{value!r:.60}"


def _repeats(ids: list[str], where: str) -> Iterator[tuple[str, str]]:
    for i, key in enumerate(ids):
        if not isinstance(key, str) or not key:
            yield f"an id is a text, not {key!r}", f"{where}[{i}].id"
        elif key in ids[:i]:
            yield f"{key!r} stands twice", f"{where}[{i}].id"


def _items(value: Any, where: str) -> list[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        raise BadInstance(f"{where}: must be an object, not {value!r:.60}", field=where)
    return list(value.items())


def _list(data: Any, name: str) -> list[Any]:
    if not isinstance(data, Mapping):
        raise BadInstance("an instance is a JSON object", field="instance")
    value = data.get(name)
    if not isinstance(value, list):
        raise BadInstance(f"{name}: must be a list", field=name)
    return value


def _build(kind: type[T], entry: Any, where: str) -> T:
    """A dataclass from a JSON object; a missing or unknown field is a `BadInstance`."""
    dot = f"{where}." if where else ""
    given = dict(_items(entry, where))
    names = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    for name in given.keys() - names:
        raise BadInstance(f"{dot}{name}: unknown field; there are {', '.join(sorted(names))}", field=f"{dot}{name}")
    if given.get("model", "") is None:
        del given["model"]
    try:
        return kind(**given)
    except TypeError as e:
        missing = str(e).rpartition(":")[2].strip()
        raise BadInstance(f"{where or 'instance'}: missing {missing}", field=f"{dot}{missing.strip(chr(39))}") from e


def _filled(entry: Level | PromptClass) -> dict[str, Any]:
    return {f.name: _plain(getattr(entry, f.name)) for f in fields(entry) if getattr(entry, f.name) != ""}


def _without_usual_weight(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if (key, value) != ("weight", 1.0)}


def _plain(value: Any) -> Any:
    return {key: _plain(v) for key, v in value.items()} if isinstance(value, Mapping) else value
