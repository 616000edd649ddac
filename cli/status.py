"""`argus status`: what runs, what waits, and what is away and why."""

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
    """Say what runs: addresses, processes, workers, queues.

    Exit status 1 when Argus does not run here, or something of it is away; then it says why.
    """
    console = make_console()
    here = running()
    if here is None:
        console.print("Argus does not run here; start it with `make up` or `argus up`.")
        raise SystemExit(1)
    welcome(console, here)
    console.print(_processes_table(here))
    if here.restarting:
        console.print(f"Still to be replaced: {', '.join(here.restarting)}")
    away = [f"{name} {trouble}" for name, trouble in here.troubles.items()]
    for table in (_workers_table, _queues_table):
        try:
            console.print(table())
        except ServiceDown as error:
            away.append(error.message)
    for line in away:
        console.print(f"AWAY  {line}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(1 if away else 0)


def _processes_table(here: Running) -> Table:
    from rich.table import Table

    table = Table("process", "id", "state", "log", title="Processes")
    for name, pid in here.children.items():
        table.add_row(name, str(pid), _state(pid, name in here.troubles), f"logs/{name}.log")
    return table


def _state(pid: int, troubled: bool) -> str:
    import psutil

    try:
        away = psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        away = True
    return "away" if away else "started again" if troubled else "runs"


def _workers_table() -> Table:
    """Generation workers as they last described themselves; raises `ServiceDown`."""
    from rich.table import Table
    from sqlalchemy import func, select
    from sqlalchemy.exc import SQLAlchemyError

    from core.database import transaction
    from core.tables import Worker

    table = Table("worker", "state", "models", "queues", "seen", title="Generation workers")
    age = func.extract("epoch", func.now() - Worker.seen_at)
    try:
        with transaction() as session:
            for row, seconds in session.execute(select(Worker, age).order_by(Worker.name)):
                table.add_row(row.name, row.state, ", ".join(row.models), str(len(row.queues)), f"{seconds:.0f} s ago")
    except SQLAlchemyError as error:
        raise ServiceDown(f"The database does not answer: {str(error).splitlines()[0]}") from error
    return table


def _queues_table() -> Table:
    """How many messages wait in each queue; raises `ServiceDown`."""
    from rich.table import Table

    from core.families import load_family
    from core.queues import all_queues, ask_depths

    table = Table("queue", "messages", title="Waiting messages")
    for queue, length in ask_depths(all_queues(load_family(settings().family))).items():
        table.add_row(queue, str(length))
    return table
