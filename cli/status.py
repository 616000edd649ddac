"""`argus status`: what runs, what waits, and what is away and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.stack import Running, running, welcome
from cli.terminal import JSON_OUT, make_console, shows_table, write_json
from core.errors import ServiceDown
from core.settings import settings

if TYPE_CHECKING:
    from rich.console import Console

TABLES = {
    "processes": ("Processes", ("process", "id", "state", "log")),
    "workers": ("Generation workers", ("worker", "state", "models", "queues", "seen")),
    "queues": ("Waiting messages", ("queue", "messages")),
}


@click.command()
@click.option("--json", "out", type=JSON_OUT, help="Write the same as JSON (- is stdout).")
def status(out: Path | None) -> None:
    """Say what runs: addresses, processes, workers, queues.

    Exit status 1 when Argus does not run here, or something of it is away; then it says why.
    """
    console = make_console(stderr=not shows_table(out))
    here = running()
    if here is None:
        write_json(out, {"running": False})
        console.print("Argus does not run here; start it with `make up` or `argus up`.")
        raise SystemExit(1)
    found: dict[str, list[list[str]]] = {"processes": _processes(here)}
    away = [f"{name} {trouble}" for name, trouble in here.troubles.items()]
    for name, read in (("workers", _workers), ("queues", _queues)):
        try:
            found[name] = read()
        except ServiceDown as error:
            away.append(error.message)
    write_json(out, _for_programs(here, found, away))
    _show(console, here, found, away)
    raise SystemExit(1 if away else 0)


def _for_programs(here: Running, found: Mapping[str, list[list[str]]], away: list[str]) -> dict[str, Any]:
    rows = {name: [dict(zip(TABLES[name][1], row, strict=True)) for row in table] for name, table in found.items()}
    return {"running": True, **asdict(here), **rows, "away": away}


def _show(console: Console, here: Running, found: Mapping[str, list[list[str]]], away: list[str]) -> None:
    from rich.table import Table

    welcome(console, here)
    for name, rows in found.items():
        title, columns = TABLES[name]
        table = Table(*columns, title=title)
        for row in rows:
            table.add_row(*row)
        console.print(table)
        if name == "processes" and here.restarting:
            console.print(f"Still to be replaced: {', '.join(here.restarting)}")
    for line in away:
        console.print(f"AWAY  {line}", style="red", markup=False, highlight=False, soft_wrap=True)


def _processes(here: Running) -> list[list[str]]:
    return [
        [name, str(pid), _state(pid, name in here.troubles), f"logs/{name}.log"] for name, pid in here.children.items()
    ]


def _state(pid: int, troubled: bool) -> str:
    import psutil

    try:
        away = psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        away = True
    return "away" if away else "started again" if troubled else "runs"


def _workers() -> list[list[str]]:
    """Generation workers as they last described themselves; raises `ServiceDown`."""
    from sqlalchemy import func, select
    from sqlalchemy.exc import SQLAlchemyError

    from core.database import transaction
    from core.tables import Worker

    age = func.extract("epoch", func.now() - Worker.seen_at)
    try:
        with transaction() as session:
            found = session.execute(select(Worker, age).order_by(Worker.name)).all()
            return [
                [row.name, row.state, ", ".join(row.models), str(len(row.queues)), f"{seconds:.0f} s ago"]
                for row, seconds in found
            ]
    except SQLAlchemyError as error:
        raise ServiceDown(f"The database does not answer: {str(error).splitlines()[0]}") from error


def _queues() -> list[list[str]]:
    """How many messages wait in each queue; raises `ServiceDown`."""
    from core.families import load_family
    from core.queues import all_queues, ask_depths

    depths = ask_depths(all_queues(load_family(settings().family)))
    return [[queue, str(length)] for queue, length in depths.items()]
