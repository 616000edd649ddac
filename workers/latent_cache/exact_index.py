"""Nearest prompts by comparing with every one, in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from core.cached_latents import Kind
from workers.latent_cache.entries import WIDTH, Entry, Match, enough


@dataclass
class _Vectors:
    """The vectors of one kind, row by row, and the runs they belong to."""

    vectors: np.ndarray = field(default_factory=lambda: np.zeros((64, WIDTH), np.float32))
    runs: list[str] = field(default_factory=list)

    def add(self, run: str, vector: np.ndarray) -> None:
        if len(self.runs) == len(self.vectors):
            self.vectors = np.concatenate([self.vectors, np.zeros_like(self.vectors)])
        self.vectors[len(self.runs)] = _unit(vector)
        self.runs.append(run)

    def remove(self, run: str) -> None:
        """The last row moves into the slot of the removed one."""
        slot, last = self.runs.index(run), len(self.runs) - 1
        self.vectors[slot], self.runs[slot] = self.vectors[last], self.runs[last]
        self.runs.pop()


class ExactIndex:
    """The process's own index, gone when it ends. Good for some tens of thousands of prompts."""

    def __init__(self) -> None:
        self._vectors: dict[Kind, _Vectors] = {}
        self._entries: dict[str, dict[str, Entry]] = {}  # by run, by key
        self._kinds: dict[str, Kind] = {}  # by run
        self._uses: dict[str, int] = {}  # by key, oldest first
        self._bytes = 0
        self._lock = threading.Lock()

    def add(self, kind: Kind, embedding: np.ndarray, entries: Sequence[Entry]) -> None:
        with self._lock:
            for entry in entries:
                if entry.run not in self._entries:
                    self._entries[entry.run], self._kinds[entry.run] = {}, kind
                    self._vectors.setdefault(kind, _Vectors()).add(entry.run, embedding)
                self._entries[entry.run][entry.key] = entry
                self._uses[entry.key] = 0
                self._bytes += entry.bytes

    def nearest(self, kind: Kind, embedding: np.ndarray) -> Match | None:
        with self._lock:
            known = self._vectors.get(kind)
            if known is None or not known.runs:
                return None
            similarity = known.vectors[: len(known.runs)] @ _unit(embedding)
            best = int(similarity.argmax())
            return Match(float(similarity[best]), tuple(self._entries[known.runs[best]].values()))

    def touch(self, key: str) -> None:
        with self._lock:
            if key in self._uses:
                self._uses[key] += 1

    def coldest(self, excess: int) -> list[Entry]:
        with self._lock:
            everything = (entry for entries in self._entries.values() for entry in entries.values())
            return enough(sorted(everything, key=lambda entry: self._uses[entry.key] * entry.k), excess)

    def remove(self, keys: Sequence[str]) -> None:
        with self._lock:
            for key in keys:
                run = key.rpartition("-")[0]
                entry = self._entries.get(run, {}).pop(key, None)
                if entry is None:
                    continue
                self._bytes -= entry.bytes
                del self._uses[key]
                if not self._entries[run]:
                    del self._entries[run]
                    self._vectors[self._kinds.pop(run)].remove(run)

    def bytes(self) -> int:
        return self._bytes

    def __len__(self) -> int:
        return len(self._uses)


def _unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector, np.float32) / max(float(np.linalg.norm(vector)), 1e-12)
