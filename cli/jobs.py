"""`argus jobs`: what was sent and how far it is, over the REST of an Argus that runs."""

from __future__ import annotations

from pathlib import Path

import click

from cli.job_view import time_left
from cli.numbers import Whole
from cli.rest import URL, client_at
from cli.terminal import JSON_OUT, make_console, shows_table, write_json


@click.command()
@click.option("--last", type=Whole(1, 1000), default=20, show_default=True, help="How many, the newest first.")
@click.option("--json", "out", type=JSON_OUT, help="Write them as JSON (- is stdout).")
@URL
def jobs(last: int, out: Path | None, url: str | None) -> None:
    """List jobs, newest first: what was sent and how far it is."""
    from rich.table import Table

    found = client_at(url).get(f"/v1/jobs?per_page={last}")
    write_json(out, found)
    if shows_table(out):
        table = Table(
            "job", "title", "source", "class", "state", "images", "of", "left", "sent", title=f"{found['total']} jobs"
        )
        for job in found["jobs"]:
            about = (job["id"], job["title"] or "–", job["source"], job["service_class"], job["state"])
            table.add_row(*about, str(job["counts"]["done"]), str(job["size"]), time_left(job), job["created_at"][:19])
        make_console().print(table)
