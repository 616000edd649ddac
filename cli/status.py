"""`argus status`: what runs, what waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.stack import Running, running, welcome
from cli.terminal import make_console
from core.errors import ServiceDown
from core.settings import settings

if TYPE_CHECKING:
    from rich.table import Table


@click.command()
def status() -> None:
    """Say what runs: addresses, processes, workers, queues."""
    console = make_console()
    here = running()
    if here is None:
        console.print("Argus does not run here; start it with `make up` or `argus up`.")
        raise SystemExit(1)
    welcome(console, here)
    console.print(_processes_table(here), _workers_table(), _queues_table())


def _processes_table(here: Running) -> Table:
    from rich.table import Table

    table = Table("process", "id", "log", title="Processes")
    for name, pid in here.children.items():
        table.add_row(name, str(pid), f"logs/{name}.log")
    return table


def _workers_table() -> Table:
    """Generation workers as they last described themselves."""
    from rich.table import Table
    from sqlalchemy import func, select

    from core.database import transaction
    from core.tables import Worker

    table = Table("worker", "state", "models", "queues", "seen", title="Generation workers")
    age = func.extract("epoch", func.now() - Worker.seen_at)
    with transaction() as session:
        for row, seconds in session.execute(select(Worker, age).order_by(Worker.name)):
            table.add_row(row.name, row.state, ", ".join(row.models), str(len(row.queues)), f"{seconds:.0f} s ago")
    return table


def _queues_table() -> Table:
    """How many messages wait in each queue; raises `ServiceDown`."""
    from rich.table import Table

    from core.families import load_family
    from core.queues import all_queues, depths

    waiting = depths(all_queues(load_family(settings().family)))
    if waiting is None:
        raise ServiceDown("The broker does not answer.")
    table = Table("queue", "messages", title="Waiting messages")
    for queue, length in waiting.items():
        table.add_row(queue, str(length))
    return table
