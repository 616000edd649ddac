"""`argus psql`: SQL against the database of Argus."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from cli.terminal import JSON_OUT, write_json
from core.errors import BadInput, ServiceDown


@click.command()
@click.option("--report", is_flag=True, help="As the role that reads the report views and nothing else.")
@click.option("-c", "--command", "sql", help="Run this and end; without it psql asks.")
@click.option("--json", "out", type=JSON_OUT, help="Write the rows that -c answers as JSON (- is stdout).")
def psql(report: bool, sql: str | None, out: Path | None) -> None:
    """Run SQL in the database of Argus; --report: as a role that only reads.

    The views are told in docs/reports.md, and by `\\d+ report_level` here. The address is that of ARGUS_REPORT_URL or
    ARGUS_DATABASE_URL, else of the Argus that runs here; it never stands on a command line.
    """
    from core.services import database_url, report_url

    url = report_url() if report else database_url()
    if out is None:
        _become_psql(url, [] if sql is None else ["--command", sql])
    if not sql or "\0" in sql:
        raise BadInput("--json writes what -c answers: give it a statement of SQL.", field="-c")
    write_json(out, _rows(url, sql))


def _become_psql(url: str, words: list[str]) -> None:
    """Be psql from here on. The address goes by the environment: arguments can be read by everybody."""
    from core.postgres import client_variables, postgres_binaries

    program = postgres_binaries() / "psql"
    try:
        os.execve(program, [str(program), "--no-psqlrc", *words], {**os.environ, **client_variables(url)})
    except (OSError, ValueError) as error:
        raise ServiceDown(f"{program} cannot be run: {error}") from error


def _rows(url: str, sql: str) -> list[dict[str, Any]]:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError, OperationalError

    from core.database import sqlalchemy_url

    with create_engine(sqlalchemy_url(url)).connect() as connection:
        try:
            answer = connection.exec_driver_sql(sql.replace("%", "%%"))
        except OperationalError:
            raise
        except DBAPIError as error:
            raise BadInput(str(error.orig).splitlines()[0], field="-c") from error
        rows = answer.mappings() if answer.returns_rows else ()
        return [{name: _for_json(value) for name, value in row.items()} for row in rows]


def _for_json(value: Any) -> Any:
    """Numbers, lists and objects as they are; what JSON has no word for as text."""
    if isinstance(value, Decimal):
        return float(value)
    return value if value is None or isinstance(value, bool | int | float | str | list | dict) else str(value)
