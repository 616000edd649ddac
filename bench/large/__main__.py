"""Is Argus as fast with a month of use behind it? A million requests, and how long each page and report takes.

    python -m bench.large [--rows 1000000] [--write]

PostgreSQL, Valkey and one web process with a database of their own, filled by the database itself (`month.py`). Then
each GET route of pages and API, each report view as the role that only reads, and `/metrics`: 20 calls each, one after
the other. Routes are taken from the application, so one that is added is measured.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import click
import psycopg2

from bench.batches import site
from bench.large.asking import ask_all, read_all
from bench.large.month import DAYS, fill
from bench.large.page import page
from bench.large.plans import compare
from bench.live.machine import hardware
from bench.own import keep, own_home, run_of
from core.families import load_family
from core.postgres import make_roles
from core.settings import ROOT

KEPT, PAGE = ROOT / "docs/results/large.json", ROOT / "docs/results/large.md"


def measure(home: Path, rows: int) -> dict[str, Any]:
    """What the database holds, and seconds of what is asked of it."""
    with site(home) as (web, superuser), closing(psycopg2.connect(superuser)) as connection:
        filled = fill(connection, load_family("embedded"), rows)
        roles = make_roles(home, superuser)
        with closing(psycopg2.connect(roles.report)) as report:
            report.autocommit = True
            views = read_all(report)
        asked, compared = ask_all(web.url, connection), compare(connection)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_database_size(current_database()), (SELECT count(*) FROM job)")
            size, jobs = cursor.fetchone() or (0, 0)
    return {"rows": rows, "days": DAYS, "jobs": jobs, "gigabytes": size / 1e9, "filled_s": filled, "views": views} | {
        "asked": asked,
        "compared": compared,
    }


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, help="Requests in the database.")
@click.option("--write", is_flag=True, help=f"Write {PAGE.relative_to(ROOT)}; else it is only printed.")
def main(rows: int, write: bool) -> None:
    """A million requests, and how long each page and report takes."""
    run = run_of("bench.large")
    with own_home("large") as home:
        found = {"run": run, "hardware": hardware(), **measure(home, rows)}
    text = page(found)
    click.echo(text)
    if write:
        keep(found, KEPT, PAGE, text)


if __name__ == "__main__":
    main()
