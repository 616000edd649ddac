"""`argus reindex`: rebuild the indexes of the tables that change most, or say how large they are."""

from __future__ import annotations

from pathlib import Path

import click

from cli.terminal import JSON_OUT, show_table, shows_table, write_json


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say how large they are.")
@click.option("--json", "out", type=JSON_OUT, help="Write the indexes with their sizes as JSON (- is stdout).")
def reindex(dry_run: bool, out: Path | None) -> None:
    """Rebuild the indexes of the tables that change most, while Argus runs.

    Updates leave them larger than they need be; this gives that back, one after the other: meanwhile the disk holds an
    index twice. Uses ARGUS_MIGRATION_URL, else the database of the Argus that runs here, as the role that owns the
    tables.
    """
    from dataclasses import asdict

    from core.reindexing import hot_indexes, rebuild
    from core.services import migration_url

    url = migration_url()
    found = hot_indexes(url) if dry_run else list(rebuild(url))
    write_json(out, {"dry_run": dry_run, "indexes": [asdict(one) for one in found]})
    if shows_table(out):
        rows = [[one.index, _mb(one.before), _mb(one.bytes), _seconds(one.seconds), one.table] for one in found]
        total = f"{_mb(sum(one.bytes for one in found))} of indexes"
        show_table(total, ["index", "before", "now", "took", "table"], rows)


def _mb(size: int | None) -> str:
    return "" if size is None else f"{size / 2**20:,.1f} MB"


def _seconds(taken: float | None) -> str:
    return "" if taken is None else f"{taken:.1f} s"
