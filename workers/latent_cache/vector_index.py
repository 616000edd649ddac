"""Nearest prompts by pgvector's HNSW, shared by all workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from core.cached_latents import Kind
from workers.latent_cache.entries import WIDTH, Entry, Match, enough

NEIGHBOURS = 16  # rows a look-up reads: at least the latents of the nearest prompt

# Text with a vector written by us: building the same by SQLAlchemy and pgvector's type took 1 ms of CPU a look-up.
NEAREST = f"""
SELECT key, k, bytes, embedding <=> CAST(:vector AS halfvec({WIDTH})) AS distance FROM cached_latent
WHERE family = :family AND model = :model AND version = :version AND width = :width AND height = :height
  AND steps = :steps AND scheduler = :scheduler
ORDER BY distance LIMIT {NEIGHBOURS}
"""
TOUCH = """
UPDATE latent_use SET steps_saved = steps_saved + k FROM cached_latent WHERE latent_id = cached_latent.id AND key = :key
"""
COLDEST = """
SELECT key, k, bytes FROM latent_use JOIN cached_latent ON cached_latent.id = latent_id
ORDER BY steps_saved, latent_id LIMIT 1000
"""


class VectorIndex:
    """StepTable `cached_latent` with pgvector's HNSW: one index for all workers, and it outlives them.

    A look-up is one round trip. Its connections are in autocommit, get the index's parameters when they are opened, and
    are not pinged first (a dead one is replaced and the look-up repeated): on a busy machine each round trip waits for
    the CPU twice.

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
        return Match(1.0 - rows[0].distance, tuple(entry for entry in entries if entry.run == entries[0].run))

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
        from sqlalchemy import text

        with self._engine.begin() as connection:
            return enough([Entry(row.key, row.k, row.bytes) for row in connection.execute(text(COLDEST))], excess)

    def remove(self, keys: Sequence[str]) -> None:
        from sqlalchemy import delete

        from core.tables import CachedLatent as Row

        with self._engine.begin() as connection:
            connection.execute(delete(Row).where(Row.key.in_(list(keys))))

    def bytes(self) -> int:
        return self._total("bytes")

    def __len__(self) -> int:
        return self._total("entries")

    def _total(self, what: str) -> int:
        """Of all entries, as the triggers of the table keep it."""
        from sqlalchemy import text

        with self._engine.begin() as connection:
            return int(connection.execute(text(f"SELECT coalesce(sum({what}), 0) FROM latent_total")).scalar_one())


def as_text(embedding: np.ndarray) -> str:
    """A vector as pgvector reads it, to the five decimals that half precision keeps."""
    return str(np.round(np.asarray(embedding, float), 5).tolist())
