"""What the latent cache finds: entries by kind and prompt, and the index that finds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from core.cached_latents import Kind

WIDTH = 384  # of a prompt's embedding


@dataclass(frozen=True)
class Entry:
    """One stored latent: key of its bytes, step K, size. Entries of one request share the key up to its last dash."""

    key: str
    k: int
    bytes: int

    @property
    def run(self) -> str:
        """What the entries of one request have in common."""
        return self.key.rpartition("-")[0]


@dataclass(frozen=True)
class Match:
    """The nearest prompt: cosine similarity, and its latents."""

    similarity: float
    entries: tuple[Entry, ...]


class Index(Protocol):
    """Prompts by embedding (unit vectors [384]), with the latents stored of each."""

    def add(self, kind: Kind, embedding: np.ndarray, entries: Sequence[Entry]) -> None: ...
    def nearest(self, kind: Kind, embedding: np.ndarray) -> Match | None: ...
    def touch(self, key: str) -> None:
        """Count a use."""

    def coldest(self, excess: int) -> list[Entry]:
        """Entries to evict until `excess` bytes are free: fewest uses × steps saved first, oldest first (LCBFU)."""

    def remove(self, keys: Sequence[str]) -> None: ...
    def bytes(self) -> int: ...
    def __len__(self) -> int: ...


def enough(entries: Sequence[Entry], excess: int) -> list[Entry]:
    """The first of these whose sizes add up to `excess` bytes."""
    chosen, freed = [], 0
    for entry in entries:
        if freed >= excess:
            break
        chosen.append(entry)
        freed += entry.bytes
    return chosen
