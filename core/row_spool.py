"""Rows on their way into a table: written down while they are checked, then copied in by one statement.

A job of a hundred thousand prompts would fill memory as objects, and keep a transaction open while they are read. So
they wait in a temporary file, as `COPY` reads them, until the last is known to be good.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from tempfile import SpooledTemporaryFile
from typing import Any

import psycopg2
from sqlalchemy import Table
from sqlalchemy.orm import Session
from sqlalchemy.sql.schema import ScalarElementColumnDefault

from core.database import as_sqlalchemy

IN_MEMORY = 1024 * 1024  # bytes, beyond which they lie on the disk
ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
SPECIAL = re.compile(r"[\\\t\n\r]")


class RowSpool:
    """Rows of one table, each with the same columns."""

    def __init__(self) -> None:
        self.count = 0
        self.columns: tuple[str, ...] = ()
        self._file = SpooledTemporaryFile(IN_MEMORY, "w+", encoding="utf-8", newline="\n")  # noqa: SIM115 - `close`

    def __enter__(self) -> RowSpool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, row: Mapping[str, Any]) -> None:
        """Take one more."""
        self.columns = self.columns or tuple(row)
        self._file.write("\t".join(_written(row[name]) for name in self.columns) + "\n")
        self.count += 1

    def copy_into(self, session: Session, table: Table, shared: Mapping[str, Any]) -> None:
        """Insert the rows, with what is the same in all of them, in the session's transaction; what no row says is the
        column's default."""
        said = {**_defaults(table), **shared}
        said = {name: value for name, value in said.items() if name not in self.columns}
        names = ", ".join(f'"{name}"' for name in (*self.columns, *said))
        end = "".join(f"\t{_written(value)}" for value in said.values()) + "\n"
        self._file.seek(0)
        connection, statement = session.connection(), f"COPY {table.name} ({names}) FROM STDIN"
        cursor: Any = connection.connection.cursor()  # psycopg2's own
        try:
            cursor.copy_expert(statement, _Ending(self._file, end))
        except psycopg2.Error as error:
            raise as_sqlalchemy(connection, statement, error) from error
        cursor.close()


class _Ending:
    """A file whose lines all end as given, for one who reads pieces of it."""

    def __init__(self, lines: Any, end: str) -> None:
        self._lines, self._end = lines, end

    def read(self, size: int) -> str:
        """Some whole lines, of about `size` characters; nothing at the end."""
        return "".join(line[:-1] + self._end for line in self._lines.readlines(max(1, size)))


def _defaults(table: Table) -> dict[str, Any]:
    """The values that Python gives columns which have no default in the database."""
    known = {column.name: column.default for column in table.columns if column.server_default is None}
    return {name: default.arg for name, default in known.items() if isinstance(default, ScalarElementColumnDefault)}


def _written(value: Any) -> str:
    """A value as COPY reads it."""
    if value is None:
        return "\\N"
    if isinstance(value, Mapping):  # of a JSON column
        value = json.dumps(value)
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, str):
        return SPECIAL.sub(lambda found: ESCAPES[found[0]], value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Sequence):
        raise TypeError(f"{type(value).__name__} cannot be copied.")
    return str(value)
