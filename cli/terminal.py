"""How commands read, print and write: files named on the command line, tables for people, JSON for programs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


class Address(click.ParamType[str]):
    """Where an Argus is: http://host:port, with the path below which a proxy has it."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The address; wrong use where it is none."""
        if not re.fullmatch(r"https?://[\w.-]+(:\d{1,5})?(/[\w./~-]*)?|https?://\[[\da-fA-F:.]+\](:\d{1,5})?/?", value):
            self.fail(f"{value!r} is no address: write it as http://127.0.0.1:8080.", param, ctx)
        return str(value)


class OutFile(click.Path):
    """A file that is written at the end: told now where it cannot be. Folders on the way are made then."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value):
            self.fail("the name of a file is empty.", param, ctx)
        path = super().convert(value, param, ctx)
        above = next(folder for folder in Path(value).absolute().parents if folder.exists())
        if str(path) != "-" and not (above.is_dir() and os.access(above, os.W_OK)):
            self.fail(f"{value!r} cannot be written: {above} is no folder that may be.", param, ctx)
        return path


ADDRESS = Address()
IN_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
OUT_FILE = OutFile(dir_okay=False, writable=True, path_type=Path)
JSON_OUT = OutFile(dir_okay=False, writable=True, allow_dash=True, path_type=Path)
PROMPTS_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
Command = TypeVar("Command", bound=Callable[..., Any])
WIDTH = 160  # where there is no terminal (files, pipes): wide enough for tables


def having(options: Sequence[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """A decorator that gives a command these options, as if they stood above it in this order."""

    def give(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return give


def make_console(stderr: bool = False) -> Console:
    """A console as wide as the terminal, or wide enough for tables where there is none."""
    from rich.console import Console

    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=WIDTH)


def show_table(title: str, header: Sequence[str], body: Sequence[Sequence[str]]) -> None:
    """A table whose first and last columns are text and the others numbers."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for i, name in enumerate(header):
        table.add_column(name, justify="left" if i in (0, len(header) - 1) else "right", no_wrap=i == 0)
    for row in body:
        table.add_row(*row)
    make_console().print(table)


def decimal(value: float | None, digits: int) -> str:
    """A number with so many decimals; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def progress_bar() -> Progress:
    """A bar on standard error with what is done, how much of it, and the time left."""
    from rich import progress as rich
    from rich.console import Console

    columns = (rich.TextColumn("{task.description}"), rich.BarColumn(), rich.MofNCompleteColumn())
    clocks = (rich.TimeElapsedColumn(), rich.TimeRemainingColumn())
    return rich.Progress(*columns, *clocks, console=Console(stderr=True))


def shows_table(out: Path | None) -> bool:
    """Whether standard output is for people: programs have not asked for it by `--json -`."""
    return str(out) != "-"


def write_json(out: Path | None, data: Any) -> None:
    """Write for programs to what `--json` named, if it did, `-` being standard output; folders are made."""
    text = json.dumps(data, indent=1) + "\n"
    if not shows_table(out):
        click.echo(text, nl=False)
    elif out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
