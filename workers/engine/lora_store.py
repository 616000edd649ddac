"""The LoRAs that a device has at hand, within a memory budget; the set least recently used leaves first."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakKeyDictionary

from core.errors import LoraUnfit
from core.families import Family
from core.levels import Level
from core.loras import Lora, LoraUse, written_loras
from workers.engine.faults import release_memory
from workers.pipelines.base import Adapter

log = logging.getLogger(__name__)
BUDGET_MB = 1024.0
Names = tuple[str, ...]


class Loaded(Protocol):
    """A set of LoRAs on a model, as `workers.pipelines.loras.LoraSet` is one."""

    memory_mb: float

    def acting(self, weights: tuple[float, ...]) -> Adapter: ...


@dataclass
class HeldSet:
    """A set at hand, and when it was wanted last."""

    loras: Loaded
    used: float


class LoraStore:
    """Loads, holds and drops LoRAs by model and set of names; whatever their weights, a set is loaded once.

    A set that leaves while requests still draw with it goes with the last of them; with a model go all of its sets.

    Args:
        budget_mb: most of them held at once; a set that is larger alone is not kept.
        load: puts LoRAs on a model.
    """

    def __init__(
        self,
        family: Family,
        budget_mb: float = BUDGET_MB,
        load: Callable[[Adapter, Sequence[Lora]], Loaded] | None = None,
    ) -> None:
        self.family, self.budget_mb, self._load = family, budget_mb, load or _loaded
        self._held: WeakKeyDictionary[Adapter, dict[Names, HeldSet]] = WeakKeyDictionary()
        self._lock = threading.Lock()  # also while loading: one at a time

    def acting(self, adapter: Adapter, level: Level, uses: Sequence[LoraUse]) -> Adapter:
        """The model with these LoRAs, each acting with its weight; loads them where they are not at hand.

        Raises:
            LoraDamaged, LoraUnfit: the request fails alone, and nothing of the set stays.
        """
        if not self.family.draws(level.id, written_loras(uses)):
            raise LoraUnfit(f"Level {level.id!r} draws with none of these LoRAs: {written_loras(uses)}.")
        names = tuple(use.name for use in uses)
        with self._lock:
            sets = self._held.setdefault(adapter, {})
            if names not in sets:
                began = time.perf_counter()
                loaded = self._load(adapter, [self.family.loras[name] for name in names])
                seconds = time.perf_counter() - began
                log.info("LoRAs %s loaded in %.2f s, %.1f MB", ", ".join(names), seconds, loaded.memory_mb)
                sets[names] = HeldSet(loaded, 0.0)
            held = sets[names]
            held.used = time.monotonic()
            self._keep_to_budget()
        return held.loras.acting(tuple(use.weight for use in uses))

    def held(self) -> dict[str, dict[Names, float]]:
        """MB of each set, by model."""
        with self._lock:
            return {
                adapter.model.id: {names: one.loras.memory_mb for names, one in sets.items()}
                for adapter, sets in self._held.items()
            }

    def _keep_to_budget(self) -> None:
        """Drop what was used longest ago until the rest fits."""
        oldest_last = sorted(
            ((one.used, names, sets) for sets in self._held.values() for names, one in sets.items()),
            key=lambda held: held[0],
            reverse=True,
        )
        total, dropped = 0.0, False
        for _, names, sets in oldest_last:
            total += sets[names].loras.memory_mb
            if total > self.budget_mb:
                del sets[names]
                dropped = True
        if dropped:
            release_memory()


def _loaded(adapter: Adapter, loras: Sequence[Lora]) -> Loaded:
    from workers.pipelines.loras import LoraSet  # peft takes a second to import: only where LoRAs are asked for

    return LoraSet(adapter, loras)
