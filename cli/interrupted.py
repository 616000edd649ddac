"""Ctrl-C while something goes on elsewhere: what it was, and how to end that too."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from core.errors import ArgusError

if TYPE_CHECKING:
    from core.client import ArgusClient

INTERRUPTED = 130  # as shells say of a program that SIGINT ended


@contextmanager
def offering_to_cancel(client: ArgusClient, job_id: str) -> Iterator[None]:
    """Inside, Ctrl-C leaves the command with 130, names the job, which goes on, and offers to cancel it.

    Without a terminal nobody is asked: it says how.
    """
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\nJob {job_id} goes on: {client.url}/jobs/{job_id}", err=True)
        _offer(client, job_id)
        raise SystemExit(INTERRUPTED) from None


def _offer(client: ArgusClient, job_id: str) -> None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        click.echo(f"Cancel it with: argus cancel {job_id} --url {client.url}", err=True)
        return
    try:
        if click.confirm("Cancel it?", default=False, err=True):
            client.cancel(job_id)
            click.echo("It is cancelled; images that exist stay.", err=True)
    except click.Abort:  # once more Ctrl-C, or the end of the input
        click.echo("", err=True)
    except ArgusError as error:
        click.echo(f"It could not be cancelled: {error.message}", err=True)
