"""Indexes of the tables that change most, rebuilt while Argus runs: updates leave them larger than they need be.

One after the other, as the role that owns them; reads and writes go on (`REINDEX INDEX CONCURRENTLY`). What a rebuild
that was ended in the middle left behind is dropped by the next.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from core.database import sqlalchemy_url
from core.errors import BadSettings

HOT = ("request", "attempt", "image", "score", "job", "worker")
FOUND = text("""
SELECT CAST(i.oid AS regclass)::text AS name, t.relname AS table, pg_relation_size(i.oid) AS bytes,
       pg_has_role(t.relowner, 'USAGE') AS ours, NOT x.indisvalid AND i.relname LIKE '%\\_ccnew%' AS left_behind
FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
WHERE t.relname = ANY(:tables) AND t.relnamespace = 'public'::regnamespace ORDER BY bytes DESC, name
""")


@dataclass(frozen=True)
class HotIndex:
    """An index, what it takes, and what it took before it was rebuilt, in so many seconds, if it was."""

    index: str
    table: str
    bytes: int
    before: int | None = None
    seconds: float | None = None


def hot_indexes(url: str) -> list[HotIndex]:
    """The indexes of the database at `url`, the largest first."""
    with _connected(url) as connection:
        return [HotIndex(row.name, row.table, row.bytes) for row in connection.execute(FOUND, {"tables": list(HOT)})]


def rebuild(url: str) -> Iterator[HotIndex]:
    """Rebuild them, each told once it is done.

    Raises:
        BadSettings: the role of `url` does not own them.
    """
    with _connected(url) as connection:
        rows = connection.execute(FOUND, {"tables": list(HOT)}).all()
        if not all(row.ours for row in rows):
            raise BadSettings(
                "Only the role that owns the tables rebuilds their indexes: name its address.",
                field="ARGUS_MIGRATION_URL",
            )
        for row in rows:
            if row.left_behind:
                connection.execute(text(f"DROP INDEX CONCURRENTLY {row.name}"))
            else:
                yield _rebuilt(connection, HotIndex(row.name, row.table, row.bytes))


def _rebuilt(connection: Connection, old: HotIndex) -> HotIndex:
    began = time.monotonic()
    connection.execute(text(f"REINDEX INDEX CONCURRENTLY {old.index}"))
    size = text("SELECT pg_relation_size(CAST(:index AS regclass))")
    now = connection.execute(size, {"index": old.index}).scalar_one()
    return replace(old, bytes=now, before=old.bytes, seconds=time.monotonic() - began)


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    """A connection without transactions, and without limits of time: large indexes take minutes."""
    made = create_engine(sqlalchemy_url(url), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with made.connect() as connection:
        yield connection
