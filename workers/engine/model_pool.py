"""The models a device holds, within a memory budget; the least recently used leaves first."""

from __future__ import annotations

import gc
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from core.errors import OutOfMemory
from core.families import Family, Model
from workers.pipelines.base import Adapter


@dataclass
class Resident:
    """A loaded model: what it takes, what loading cost, and who still needs it."""

    adapter: Adapter
    load_s: float
    memory_mb: float
    used: float = field(default_factory=time.monotonic)
    leases: int = 0


class Residents:
    """Loads, keeps and drops models. Thread-safe; `load` may take minutes and holds no lock meanwhile.

    Args:
        load: makes the adapter of a model.
        budget_mb: most weights held at once; 0 for no limit.
    """

    def __init__(self, family: Family, load: Callable[[Model], Adapter], budget_mb: float = 0) -> None:
        self.family = family
        self.budget_mb = budget_mb
        self.loads: Counter[str] = Counter()
        self._load = load
        self._held: dict[str, Resident] = {}
        self._sizes: dict[str, float] = {}
        self._leaving: set[str] = set()
        self._lock = threading.Condition()  # notified when a model is less in use

    def lease(self, model_id: str) -> Adapter | None:
        """The adapter, kept until `release`; None where the model is not held or is on its way out."""
        with self._lock:
            resident = self._held.get(model_id)
            if resident is None or model_id in self._leaving:
                return None
            resident.leases += 1
            resident.used = time.monotonic()
            return resident.adapter

    def release(self, model_id: str) -> None:
        """One request less needs this model."""
        with self._lock:
            self._held[model_id].leases -= 1
            self._lock.notify_all()

    def make_room(self, model_id: str) -> bool:
        """Drop idle models until this one fits. False while what must leave is still in use: ask again later.

        Raises:
            OutOfMemory: the model is larger than the whole budget.
        """
        with self._lock:
            need = self._size(model_id)
            if self.budget_mb and need > self.budget_mb:
                raise OutOfMemory(f"Model {model_id!r} takes {need:.0f} MB; the budget is {self.budget_mb:.0f} MB.")
            while model_id not in self._held and self.budget_mb and self._total() + need > self.budget_mb:
                victim = min(self._held, key=lambda name: self._held[name].used)
                if self._held[victim].leases:
                    self._leaving.add(victim)
                    return False
                self.drop(victim)
            self._leaving.clear()
            return True

    def wait_for_room(self, model_id: str) -> None:
        """`make_room`, however long it takes; those whose model must leave are no longer let in meanwhile."""
        with self._lock:
            self._lock.wait_for(lambda: model_id in self._held or self.make_room(model_id))

    def load(self, model_id: str) -> Resident:
        """Load a model now, whatever else is held; measured.

        Raises:
            BadFamily: it has a level with a feature cache that diffusers does not have for its denoiser.
        """
        with self._lock:
            if model_id in self._held:
                return self._held[model_id]
        began = time.perf_counter()
        adapter = self._load(self.family.models[model_id])
        for level in self.family.levels_of(model_id):
            if level.strategy == "fc":
                adapter.keep_features(level)
        seconds = time.perf_counter() - began
        resident = Resident(adapter, seconds, adapter.memory_mb)
        with self._lock:
            self._held[model_id] = resident
            self._sizes[model_id] = resident.memory_mb
            self.loads[model_id] += 1
        return resident

    def drop(self, model_id: str) -> bool:
        """Let go of a model nobody uses; False where it is in use or not held."""
        with self._lock:
            if model_id not in self._held or self._held[model_id].leases:
                return False
            del self._held[model_id]
            self._leaving.discard(model_id)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return True

    def held(self) -> dict[str, Resident]:
        """What is loaded, most recently used first."""
        with self._lock:
            return dict(sorted(self._held.items(), key=lambda item: -item[1].used))

    def stats(self) -> dict[str, dict[str, float]]:
        """Memory, seconds of the last load and number of loads, by model held."""
        return {
            name: {"memory_mb": resident.memory_mb, "load_s": resident.load_s, "loads": self.loads[name]}
            for name, resident in self.held().items()
        }

    def _total(self) -> float:
        return sum(resident.memory_mb for resident in self._held.values())

    def _size(self, model_id: str) -> float:
        """MB as measured when it was last loaded, else as its weight files take on disk (0 for a hub name)."""
        if model_id not in self._sizes:
            folder = Path(self.family.models[model_id].location)
            return sum(file.stat().st_size for file in folder.rglob("*.safetensors")) / 1e6
        return self._sizes[model_id]
