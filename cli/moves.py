"""`argus cancel`, `pause`, `resume`, `retry` and `reorder`: of a job or of all, what is selected, over REST."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from cli.job_view import standing
from cli.report import PointInTime
from cli.rest import URL, client_at
from cli.terminal import JSON_OUT, having, shows_table, write_json

FILTERS = (
    click.option("--state", help="Only requests in these states, with commas: accepted,queued,running,paused,failed,…"),
    click.option("--level", help="Only requests at these levels, with commas."),
    click.option("--class", "service_class", type=click.Choice(["interactive", "batch"]), help="Only of this class."),
    click.option("--since", type=PointInTime(), help="Only accepted since: 90m, 2d ago, or an ISO time (UTC)."),
    click.option("--until", type=PointInTime(), help="Only accepted before."),
    click.option("--tenant", help="Only of this tenant."),
    click.option("--prompt", help="Only with this text in the prompt."),
)
OPTIONS = (
    click.argument("job", type=click.UUID, required=False),
    click.option("--all", "of_all", is_flag=True, help="Of all jobs, instead of JOB."),
    *FILTERS,
    click.option("--dry-run", is_flag=True, help="Only say how many that would be."),
    click.option("--json", "out", type=JSON_OUT, help="Write what was done as JSON (- is stdout)."),
    URL,
)


def verb(function: Callable[..., None]) -> click.Command:
    """A command that does what its name says to what its options select."""
    return click.command()(having(OPTIONS)(function))


@verb
def cancel(**options: Any) -> None:
    """Cancel what is open of JOB, or what is selected; images that exist stay."""
    _do("cancel", **options)


@verb
def pause(**options: Any) -> None:
    """Have nothing more of JOB begin for now; what runs is drawn."""
    _do("pause", **options)


@verb
def resume(**options: Any) -> None:
    """Go on with what is paused of JOB. Its deadlines are as much later."""
    _do("resume", **options)


@verb
def retry(**options: Any) -> None:
    """Draw again what failed or was cancelled of JOB: same ids, same seeds. Attempts are counted anew."""
    _do("retry", **options)


@click.option(
    "--to", required=True, metavar="first|last|N", help="Before or behind the others, or a priority; 0 at first."
)
def _reorder(to: str, **options: Any) -> None:
    """Say what of the background work is drawn first. It goes by priority, then by deadline."""
    _do("reorder", priority=to, **options)


reorder = verb(_reorder)
reorder.name = "reorder"


def _do(name: str, job: uuid.UUID | None, of_all: bool, out: Path | None, url: str | None, **asked: Any) -> None:
    if (job is None) == (not of_all):
        raise click.UsageError("Name a JOB, or say --all.")
    client = client_at(url)
    found = client.move(name, written(asked), str(job) if job else None)
    write_json(out, found)
    if shows_table(out):
        click.echo(_told(found))
    if shows_table(out) and job:
        click.echo(standing(client.job(str(job))))


def written(asked: dict[str, Any]) -> dict[str, Any]:
    """What was said of options that select, as the API takes it."""
    said = {name: value for name, value in asked.items() if value not in (None, False)}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in said.items()}


def _told(found: dict[str, Any]) -> str:
    """What was done, in a sentence."""
    past = {"cancel": "cancelled", "pause": "paused", "resume": "resumed", "retry": "accepted again"}
    done = past.get(found["move"], "reordered")
    many = "request" if found["requests"] == 1 else "requests"
    jobs = "job" if found["jobs"] == 1 else "jobs"
    would = "would be" if found["dry_run"] else ("is" if found["requests"] == 1 else "are")
    return f"{found['requests']:,} {many} of {found['jobs']:,} {jobs} {would} {done}."
