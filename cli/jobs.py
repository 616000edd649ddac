"""`argus jobs` and `argus cancel`: what was sent, and ending it, over the REST of an Argus that runs."""

from __future__ import annotations

import uuid
from pathlib import Path

import click

from cli.numbers import Whole
from cli.terminal import ADDRESS, JSON_OUT, make_console, shows_table, write_json


@click.command()
@click.option("--last", type=Whole(1, 1000), default=20, show_default=True, help="How many, the newest first.")
@click.option("--json", "out", type=JSON_OUT, help="Write them as JSON (- is stdout).")
@click.option("--url", type=ADDRESS, help="Address of Argus; default: the one that runs here.")
def jobs(last: int, out: Path | None, url: str | None) -> None:
    """List jobs, newest first: what was sent and how far it is."""
    from rich.table import Table

    from cli.stack import base_url
    from core.client import ArgusClient

    found = ArgusClient(url or base_url()).get(f"/v1/jobs?per_page={last}")
    write_json(out, found)
    if shows_table(out):
        table = Table(
            "job", "title", "source", "class", "state", "images", "of", "sent", title=f"{found['total']} jobs"
        )
        for job in found["jobs"]:
            about = (job["id"], job["title"] or "–", job["source"], job["service_class"], job["state"])
            table.add_row(*about, str(job["counts"]["done"]), str(job["size"]), job["created_at"][:19])
        make_console().print(table)


@click.command()
@click.argument("job", type=click.UUID)
@click.option("--json", "out", type=JSON_OUT, help="Write the job as JSON (- is stdout).")
@click.option("--url", type=ADDRESS, help="Address of Argus; default: the one that runs here.")
def cancel(job: uuid.UUID, out: Path | None, url: str | None) -> None:
    """Cancel what is open of JOB; images that exist stay."""
    from cli.stack import base_url
    from core.client import ArgusClient

    found = ArgusClient(url or base_url()).cancel(str(job))
    write_json(out, found)
    if shows_table(out):
        counts = ", ".join(f"{count} {state}" for state, count in found["counts"].items() if count)
        click.echo(f"Job {found['id']} is {found['state']}: {counts}.")
