"""Which kept prompt is nearest: exactly, in memory, or by pgvector's HNSW, shared by all workers."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np

WIDTH = 384
NEIGHBOURS = 16  # rows a look-up reads: at least the latents of the nearest prompt

# Text with a vector written by us: building the same by SQLAlchemy and pgvector's type took 1 ms of CPU a look-up.
NEAREST = f"""
SELECT key, k, bytes, embedding <=> CAST(:vector AS halfvec({WIDTH})) AS distance FROM cached_latent
WHERE family = :family AND model = :model AND version = :version AND width = :width AND height = :height
  AND steps = :steps AND scheduler = :scheduler
ORDER BY distance LIMIT {NEIGHBOURS}
"""
TOUCH = "UPDATE cached_latent SET uses = uses + 1 WHERE key = :key"


@dataclass(frozen=True)
class Kind:
    """What two requests must have in common for one to resume the other's latent."""

    family: str
    model: str
    version: str
    width: int
    height: int
    steps: int
    scheduler: str


@dataclass(frozen=True)
class Entry:
    """One kept latent: key of its bytes, step index, size. Entries of one request share the key up to the last dash."""

    key: str
    k: int
    bytes: int

    @property
    def trace(self) -> str:
        """What the entries of one request have in common."""
        return self.key.rpartition("-")[0]


@dataclass(frozen=True)
class Match:
    """The nearest prompt: cosine similarity, and its latents."""

    similarity: float
    entries: tuple[Entry, ...]


class Index(Protocol):
    """Prompts by embedding (unit vectors [384]), with the latents kept of each."""

    def add(self, kind: Kind, embedding: np.ndarray, entries: Sequence[Entry]) -> None: ...
    def nearest(self, kind: Kind, embedding: np.ndarray) -> Match | None: ...
    def touch(self, key: str) -> None:
        """Count a use."""

    def coldest(self, excess: int) -> list[Entry]:
        """Entries to evict until `excess` bytes are free: fewest uses × steps saved first, oldest first (LCBFU)."""

    def remove(self, keys: Sequence[str]) -> None: ...
    def bytes(self) -> int: ...
    def __len__(self) -> int: ...


@dataclass
class _Shelf:
    """The vectors of one kind, row by row, and whose they are."""

    vectors: np.ndarray = field(default_factory=lambda: np.zeros((64, WIDTH), np.float32))
    traces: list[str] = field(default_factory=list)

    def add(self, trace: str, vector: np.ndarray) -> None:
        if len(self.traces) == len(self.vectors):
            self.vectors = np.concatenate([self.vectors, np.zeros_like(self.vectors)])
        self.vectors[len(self.traces)] = vector / max(float(np.linalg.norm(vector)), 1e-12)
        self.traces.append(trace)

    def remove(self, trace: str) -> None:
        hole, last = self.traces.index(trace), len(self.traces) - 1
        self.vectors[hole], self.traces[hole] = self.vectors[last], self.traces[last]
        self.traces.pop()


class ExactIndex:
    """Every vector compared; the process's own. Good to some tens of thousands of prompts."""

    def __init__(self) -> None:
        self._shelves: dict[Kind, _Shelf] = {}
        self._entries: dict[str, dict[str, Entry]] = {}  # by trace, by key
        self._kinds: dict[str, Kind] = {}
        self._uses: dict[str, int] = {}  # by key, oldest first
        self._bytes = 0
        self._lock = threading.Lock()

    def add(self, kind: Kind, embedding: np.ndarray, entries: Sequence[Entry]) -> None:
        with self._lock:
            for entry in entries:
                if entry.trace not in self._entries:
                    self._entries[entry.trace], self._kinds[entry.trace] = {}, kind
                    self._shelves.setdefault(kind, _Shelf()).add(entry.trace, embedding)
                self._entries[entry.trace][entry.key] = entry
                self._uses[entry.key] = 0
                self._bytes += entry.bytes

    def nearest(self, kind: Kind, embedding: np.ndarray) -> Match | None:
        with self._lock:
            shelf = self._shelves.get(kind)
            if shelf is None or not shelf.traces:
                return None
            unit = np.asarray(embedding, np.float32) / max(float(np.linalg.norm(embedding)), 1e-12)
            similarity = shelf.vectors[: len(shelf.traces)] @ unit
            best = int(similarity.argmax())
            return Match(float(similarity[best]), tuple(self._entries[shelf.traces[best]].values()))

    def touch(self, key: str) -> None:
        with self._lock:
            if key in self._uses:
                self._uses[key] += 1

    def coldest(self, excess: int) -> list[Entry]:
        with self._lock:
            everything = (entry for entries in self._entries.values() for entry in entries.values())
            order = sorted(everything, key=lambda entry: self._uses[entry.key] * entry.k)
            return _enough(order, excess)

    def remove(self, keys: Sequence[str]) -> None:
        with self._lock:
            for key in keys:
                trace = key.rpartition("-")[0]
                entry = self._entries.get(trace, {}).pop(key, None)
                if entry is None:
                    continue
                self._bytes -= entry.bytes
                del self._uses[key]
                if not self._entries[trace]:
                    del self._entries[trace]
                    self._shelves[self._kinds.pop(trace)].remove(trace)

    def bytes(self) -> int:
        return self._bytes

    def __len__(self) -> int:
        return len(self._uses)


class VectorIndex:
    """Table `cached_latent` with pgvector's HNSW: one index for all workers, and it outlives them.

    A look-up is one round trip: connections of its own are in autocommit, have the index's parameters set when they are
    opened, and are not asked whether they live (one that does not is replaced, and the look-up made again): on a busy
    machine each round trip waits for the CPU twice.

    Args:
        engine: a SQLAlchemy engine on a database where Argus' migrations ran.
    """

    PARAMETERS = {
        "hnsw.ef_search": "100",  # candidates kept while searching: 40 misses one nearest prompt in twenty
        "hnsw.iterative_scan": "strict_order",  # goes on until enough rows of this kind are found
        "synchronous_commit": "off",  # a crash may lose the count of a use, nothing else is written here
    }

    def __init__(self, engine: Any) -> None:
        from sqlalchemy import create_engine

        self._engine = engine
        options = " ".join(f"-c {name}={value}" for name, value in self.PARAMETERS.items())
        self._lookups = create_engine(
            engine.url,
            isolation_level="AUTOCOMMIT",
            pool_size=2,
            connect_args={"connect_timeout": 5, "application_name": "argus latents", "options": options},
        )

    def add(self, kind: Kind, embedding: np.ndarray, entries: Sequence[Entry]) -> None:
        from sqlalchemy import insert

        from core.tables import CachedLatent

        rows = [
            {
                **asdict(kind),
                "embedding": embedding.tolist(),
                "k": entry.k,
                "key": entry.key,
                "bytes": entry.bytes,
            }
            for entry in entries
        ]
        with self._engine.begin() as connection:
            connection.execute(insert(CachedLatent), rows)

    def nearest(self, kind: Kind, embedding: np.ndarray) -> Match | None:
        from sqlalchemy import text

        rows = self._at_once(text(NEAREST), {**asdict(kind), "vector": as_text(embedding)})
        if not rows:
            return None
        entries = [Entry(row.key, row.k, row.bytes) for row in rows]
        return Match(1.0 - rows[0].distance, tuple(entry for entry in entries if entry.trace == entries[0].trace))

    def touch(self, key: str) -> None:
        from sqlalchemy import text

        self._at_once(text(TOUCH), {"key": key})

    def _at_once(self, statement: Any, values: dict[str, Any]) -> list[Any]:
        """Execute in one round trip; a second time when the connection turns out to have ended."""
        from sqlalchemy.exc import DBAPIError

        try:
            return self._executed(statement, values)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            return self._executed(statement, values)

    def _executed(self, statement: Any, values: dict[str, Any]) -> list[Any]:
        with self._lookups.connect() as connection:
            result = connection.execute(statement, values)
            return list(result) if result.returns_rows else []

    def coldest(self, excess: int) -> list[Entry]:
        from sqlalchemy import select

        from core.tables import CachedLatent as Row

        query = select(Row.key, Row.k, Row.bytes).order_by(Row.uses * Row.k, Row.id).limit(1000)
        with self._engine.begin() as connection:
            return _enough([Entry(row.key, row.k, row.bytes) for row in connection.execute(query)], excess)

    def remove(self, keys: Sequence[str]) -> None:
        from sqlalchemy import delete

        from core.tables import CachedLatent as Row

        with self._engine.begin() as connection:
            connection.execute(delete(Row).where(Row.key.in_(list(keys))))

    def bytes(self) -> int:
        return self._sum("coalesce(sum(bytes), 0)")

    def __len__(self) -> int:
        return self._sum("count(*)")

    def _sum(self, what: str) -> int:
        from sqlalchemy import text

        with self._engine.begin() as connection:
            return int(connection.execute(text(f"SELECT {what} FROM cached_latent")).scalar_one())


def as_text(embedding: np.ndarray) -> str:
    """A vector as pgvector reads it, to the five decimals that half precision keeps."""
    return str(np.round(np.asarray(embedding, float), 5).tolist())


def _enough(entries: Sequence[Entry], excess: int) -> list[Entry]:
    chosen, freed = [], 0
    for entry in entries:
        if freed >= excess:
            break
        chosen.append(entry)
        freed += entry.bytes
    return chosen
