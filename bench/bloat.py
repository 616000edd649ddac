"""How the table of requests and its indexes grow by updates, and what rebuilding the indexes gives back.

    python -m bench.bloat [--rows 100000] [--updates 1000000] [--write]

A PostgreSQL of its own, as `argus up` starts it, with its autovacuum and the settings that the migrations give the hot
tables. Requests go through the states of their life again and again, 500 a transaction, as router and workers do.
"""

from __future__ import annotations

import random
import time
from typing import Any

import click
import psycopg2
from sqlalchemy import text

from bench.live.machine import hardware
from bench.own import keep, own_database, own_home, run_of
from bench.scheduler.history import fill
from core.database import transaction
from core.families import load_family
from core.settings import ROOT

KEPT, PAGE = ROOT / "docs/results/bloat.json", ROOT / "docs/results/bloat.md"
AT_ONCE = 500
LIFE = (
    "state = 'accepted', routed_at = NULL, stored_at = NULL, scored_at = NULL",
    "state = 'queued', routed_at = now()",
    "state = 'running', started_at = now()",
    "state = 'done', stored_at = now()",
    "score = 0.7, scored_at = now()",
)
SIZES = text(
    "SELECT relname, pg_relation_size(oid) FROM pg_class WHERE relname = 'request' OR oid IN "
    "(SELECT indexrelid FROM pg_index WHERE indrelid = 'request'::regclass) ORDER BY 1"
)
MB = 2**20


def sizes() -> dict[str, float]:
    """MB of the table and of each of its indexes."""
    with transaction() as session:
        return {name: size / MB for name, size in session.execute(SIZES)}


def live(updates: int) -> float:
    """Move requests through their lives, so many updates of a row in all; returns seconds."""
    with transaction() as session:
        ids = [str(row) for row in session.scalars(text("SELECT id FROM request"))]
    begun, done, rng = time.monotonic(), 0, random.Random(1)
    while done < updates:
        rng.shuffle(ids)
        for start in range(0, len(ids), AT_ONCE):
            some = ids[start : start + AT_ONCE]
            for values in LIFE:
                with transaction() as session:
                    session.execute(text(f"UPDATE request SET {values} WHERE id = ANY(CAST(:ids AS uuid[]))"),
                                    {"ids": some})  # fmt: skip
            done += len(some) * len(LIFE)
            if done >= updates:
                break
    return time.monotonic() - begun


def reindex(owner: str) -> float:
    """Rebuild all indexes of the table while others go on; returns seconds."""
    begun, connection = time.monotonic(), psycopg2.connect(owner)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("REINDEX TABLE CONCURRENTLY request")
    connection.close()
    return time.monotonic() - begun


def measured(rows: int, updates: int) -> dict[str, Any]:
    """Sizes at the start, after the updates, and after rebuilding."""
    family = load_family("embedded")
    with own_home("bloat") as home, own_database(home) as services:
        for _ in fill(family.id, family.reference, list(family.levels), rows, 10.0):
            pass
        before, seconds = sizes(), live(updates)
        after = sizes()
        return {"before": before, "after": after, "update_s": seconds, "reindex_s": reindex(services.roles.owner),
                "rebuilt": sizes()}  # fmt: skip


def page(found: dict[str, Any]) -> str:
    """The page of the results."""
    run, machine = found["run"], found["hardware"]
    parts = [found[name] for name in ("before", "after", "rebuilt")]
    rows = [f"| {name} | " + " | ".join(f"{part[name]:.1f}" for part in parts) + " |" for name in parts[0]]
    total = " | ".join(f"**{sum(part.values()):.1f}**" for part in parts)
    return "\n".join(
        [
            "# Bloat of the table that changes most",
            "",
            f"`{run['command']}`, {run['measured']}, commit {run['commit']}, PostgreSQL "
            f"{machine['versions']['PostgreSQL (wheel)']}, {machine['name']}, {machine['cores']} cores; load average "
            f"before {run['load_before']:.2f}. {run['rows']:,} requests, {run['updates']:,} updates of a row in "
            f"{found['update_s']:.0f} s beside autovacuum; `REINDEX TABLE CONCURRENTLY request` took "
            f"{found['reindex_s']:.1f} s.",
            "",
            "| MB of | at first | after the updates | rebuilt |",
            "| --- | --- | --- | --- |",
            *rows,
            f"| all | {total} |",
            "",
        ]
    )


@click.command()
@click.option("--rows", default=100_000, show_default=True, help="Requests.")
@click.option("--updates", default=1_000_000, show_default=True, help="Updates of a row in all.")
@click.option("--write", is_flag=True, help="Write docs/results/bloat.json and .md.")
def main(rows: int, updates: int, write: bool) -> None:
    """Say how much the hot table grows, and what rebuilding its indexes gives back."""
    found = {"run": run_of("bench.bloat", rows=rows, updates=updates), "hardware": hardware()}
    found |= measured(rows, updates)
    if write:
        keep(found, KEPT, PAGE, page(found))
    click.echo(page(found))


if __name__ == "__main__":
    main()
