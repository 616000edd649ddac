"""`argus prune`: remove jobs that have ended and are older than they are kept, or say what that would be."""

from __future__ import annotations

from math import inf
from pathlib import Path

import click

from cli.numbers import Number
from cli.terminal import JSON_OUT, show_table, shows_table, write_json


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--days", type=Number(), help="Keep so many days, where the tenant has no number of its own; default: "
              "ARGUS_RETENTION_DAYS.")  # fmt: skip
@click.option("--tenant", help="Only of this tenant.")
@click.option("--json", "out", type=JSON_OUT, help="Write what is, or would be, removed as JSON (- is stdout).")
def prune(dry_run: bool, days: float | None, tenant: str | None, out: Path | None) -> None:
    """Remove jobs that have ended and are older than they are kept.

    The scheduler does so every minute; this does all of it now. Images go with their rows.
    """
    from dataclasses import asdict

    from scheduler.control.prune import prunable
    from scheduler.control.prune import prune as remove

    found = prunable(days, tenant)
    if not dry_run:
        remove(days, tenant, inf)
    write_json(out, {"dry_run": dry_run, "tenants": [asdict(one) for one in found]})
    if shows_table(out):
        rows = [[one.tenant, *(f"{n:,}" for n in (one.jobs, one.requests, one.images)), f"{one.bytes / 2**20:,.1f} MB"]
                for one in found]  # fmt: skip
        title = "Would be removed" if dry_run else "Removed"
        show_table(title if rows else f"{title}: nothing", ["tenant", "jobs", "requests", "images", "files"], rows)
