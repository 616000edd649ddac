"""`argus run` and `argus ping`: one process of Argus in the foreground, and whether it answers."""

from __future__ import annotations

import os
import socket

import click

from cli.processes import PROCESSES, worker
from core.devices import local_devices, worker_name


@click.command()
@click.argument("name", type=click.Choice([*PROCESSES, "worker", "migrate"]))
@click.option("--device", help="Device of a worker, cpu:N or cuda:N; default: the first of ARGUS_DEVICES.")
def run(name: str, device: str | None) -> None:
    """Run one process of Argus in the foreground (containers, systemd).

    Database and broker are those of ARGUS_DATABASE_URL and ARGUS_BROKER_URL, else those of the `argus up` that runs
    here. `migrate` brings the database to the newest schema and ends.
    """
    if name == "migrate":
        from core.database import migrate

        migrate()
        return
    child = worker(device or local_devices()[0]) if name == "worker" else PROCESSES[name]()
    os.execvpe(child.argv[0], list(child.argv), {**os.environ, **child.env})


@click.command()
@click.argument("name", type=click.Choice(["worker", "scheduler", "quality"]))
@click.option("--device", help="Device of a worker; default: the first of ARGUS_DEVICES.")
def ping(name: str, device: str | None) -> None:
    """Ask a Celery process of this host whether it answers (health checks).

    Exit status 1 when it does not within five seconds.
    """
    from core.celery import celery_app

    node = worker_name(device or local_devices()[0]) if name == "worker" else f"{name}@{socket.gethostname()}"
    pongs = celery_app().control.ping([node], timeout=5)
    click.echo(f"{node} {'answers' if pongs else 'does not answer'}")
    raise SystemExit(0 if pongs else 1)
