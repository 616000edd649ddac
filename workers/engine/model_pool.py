"""The models a device holds, within a memory budget; the least recently used leaves first."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from core.errors import BadCalibration, OutOfMemory
from core.families import Family, Model
from core.levels import Level
from core.reuse_plans import read_plan
from workers.engine.faults import release_memory
from workers.pipelines.base import Adapter
from workers.pipelines.growing import check_half_size

log = logging.getLogger(__name__)
SMALL = 0.05  # of the budget: what is quick to load and hardly missed
SPARE = 0.5  # of the budget that idle models may fill


@dataclass
class PooledModel:
    """A loaded model: its memory, what loading took, and how many requests need it."""

    adapter: Adapter
    load_s: float
    memory_mb: float
    used: float = field(default_factory=time.monotonic)
    leases: int = 0


class ModelPool:
    """Loads, holds and drops models. Thread-safe; `load` may take minutes and holds no lock meanwhile.

    Args:
        load: makes the adapter of a model.
        expected_mb: what a model will take, before it was ever loaded.
        budget_mb: most weights held at once; 0 for no limit.
    """

    def __init__(
        self,
        family: Family,
        load: Callable[[Model], Adapter],
        expected_mb: Callable[[Model], float],
        budget_mb: float = 0,
    ) -> None:
        self.family = family
        self.budget_mb = budget_mb
        self.loads: Counter[str] = Counter()
        self._load = load
        self._expected_mb = expected_mb
        self._held: dict[str, PooledModel] = {}
        self._foreseen_mb: dict[str, float] = {}
        self._measured_mb: dict[str, float] = {}
        self._leaving: set[str] = set()
        self._lock = threading.Condition()  # notified when a lease ends

    def lease(self, model_id: str) -> Adapter | None:
        """The adapter, held until `release`; None where the model is not held or is about to leave."""
        with self._lock:
            model = self._held.get(model_id)
            if model is None or model_id in self._leaving:
                return None
            model.leases += 1
            model.used = time.monotonic()
            return model.adapter

    def release(self, model_id: str) -> None:
        """End one lease."""
        with self._lock:
            self._held[model_id].leases -= 1
            self._lock.notify_all()

    def make_room(self, model_id: str) -> bool:
        """Drop idle models until this one fits. False while what must leave is still leased: ask again later.

        Raises:
            OutOfMemory: the model is larger than the whole budget.
        """
        self._foresee(model_id)
        with self._lock:
            need = self._size_mb(model_id)
            if self.budget_mb and need > self.budget_mb:
                raise OutOfMemory(f"Model {model_id!r} takes {need:.0f} MB; the budget is {self.budget_mb:.0f} MB.")
            while model_id not in self._held and self.budget_mb and self._total_mb() + need > self.budget_mb:
                oldest = min(self._held, key=lambda name: self._held[name].used)
                if self._held[oldest].leases:
                    self._leaving.add(oldest)
                    return False
                self.drop(oldest)
            self._leaving.clear()
            return True

    def wait_for_room(self, model_id: str) -> None:
        """`make_room`, however long it takes; a model that must leave grants no new leases meanwhile."""
        self._foresee(model_id)
        with self._lock:
            self._lock.wait_for(lambda: model_id in self._held or self.make_room(model_id))

    def load(self, model_id: str) -> PooledModel:
        """Load a model now, whatever else is held; measured.

        Raises:
            BadFamily: it has a level that its denoiser or its sampler is not for.
        """
        with self._lock:
            if model_id in self._held:
                return self._held[model_id]
        began = time.perf_counter()
        adapter = self._load(self.family.models[model_id])
        for level in self.family.levels_of(model_id):
            if "fc" in level.strategies:
                adapter.add_feature_cache(level)
            if "cq" in level.strategies:
                _add_reuse(adapter, level)
            if "sub" in level.strategies:
                check_half_size(adapter, level)
        model = PooledModel(adapter, time.perf_counter() - began, adapter.memory_mb)
        with self._lock:
            self._held[model_id] = model
            self._measured_mb[model_id] = model.memory_mb
            self.loads[model_id] += 1
        return model

    def spare(self) -> str | None:
        """A model of the family that is worth holding while nothing else is to do: small, and room is left beside it.

        Switching to a model that is in memory takes no time. None without a budget to go by.
        """
        offered = self.family.offered
        self._foresee(*offered)
        with self._lock:
            sizes = {name: self._size_mb(name) for name in offered if name not in self._held}
            small = [name for name, size in sizes.items() if size <= SMALL * self.budget_mb]
            fitting = [name for name in small if self._total_mb() + sizes[name] <= SPARE * self.budget_mb]
            return min(fitting, key=sizes.__getitem__, default=None)

    def drop(self, model_id: str) -> bool:
        """Let go of a model without leases; False where it has some or is not held."""
        with self._lock:
            if model_id not in self._held or self._held[model_id].leases:
                return False
            del self._held[model_id]
            self._leaving.discard(model_id)
        release_memory()
        return True

    def held(self) -> dict[str, PooledModel]:
        """What is loaded, most recently used first."""
        with self._lock:
            return dict(sorted(self._held.items(), key=lambda item: -item[1].used))

    def stats(self) -> dict[str, dict[str, float]]:
        """Memory, seconds of the last load and number of loads, by model held."""
        return {
            name: {"memory_mb": model.memory_mb, "load_s": model.load_s, "loads": self.loads[name]}
            for name, model in self.held().items()
        }

    def _total_mb(self) -> float:
        return sum(model.memory_mb for model in self._held.values())

    def _size_mb(self, model_id: str) -> float:
        """As measured when it was last loaded, else as expected."""
        return self._measured_mb.get(model_id, self._foreseen_mb.get(model_id, 0.0))

    def _foresee(self, *model_ids: str) -> None:
        """Find out what these will take. That may read configurations from the hub: without the lock, and once."""
        for model_id in model_ids:
            if model_id not in self._foreseen_mb and model_id not in self._measured_mb:
                self._foreseen_mb[model_id] = self._expected_mb(self.family.models[model_id])


def _add_reuse(adapter: Adapter, level: Level) -> None:
    """Where its calibration was lost since the family was read, the level's requests run in full."""
    try:
        adapter.add_reuse(level, read_plan(level.calibration_location))
    except BadCalibration as error:
        log.warning("level %s runs in full: %s", level.id, error.message)
