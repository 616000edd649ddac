"""`argus ping`: whether a Celery process of this host answers, for health checks."""

from __future__ import annotations

import socket
from pathlib import Path

import click

from cli.terminal import JSON_OUT, shows_table, write_json


@click.command()
@click.argument("name", type=click.Choice(["worker", "scheduler", "quality"]))
@click.option("--device", help="Device of a worker; default: the first of ARGUS_DEVICES.")
@click.option("--json", "out", type=JSON_OUT, help="Write the answer as JSON (- is stdout).")
def ping(name: str, device: str | None, out: Path | None) -> None:
    """Ask a Celery process of this host whether it answers (health checks).

    Exit status 1 when it does not within five seconds.
    """
    from core.celery import celery_app
    from core.devices import checked, local_devices, worker_name

    node = (
        worker_name(checked(device) if device else local_devices()[0])
        if name == "worker"
        else f"{name}@{socket.gethostname()}"
    )
    pongs = celery_app().control.ping([node], timeout=5)
    write_json(out, {"node": node, "answers": bool(pongs)})
    if shows_table(out):
        click.echo(f"{node} {'answers' if pongs else 'does not answer'}")
    raise SystemExit(0 if pongs else 1)
