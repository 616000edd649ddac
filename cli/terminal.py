"""How commands print and write: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

WIDTH = 160  # where there is no terminal (files, pipes): wide enough for tables


def make_console(stderr: bool = False) -> Console:
    """A console as wide as the terminal, or wide enough for tables where there is none."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=WIDTH)


def show_table(title: str, header: Sequence[str], body: Sequence[Sequence[str]]) -> None:
    """A table whose first and last columns are text and the others numbers."""
    table = Table(title=title, title_justify="left")
    for i, name in enumerate(header):
        table.add_column(name, justify="left" if i in (0, len(header) - 1) else "right", no_wrap=i == 0)
    for row in body:
        table.add_row(*row)
    make_console().print(table)


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write for programs; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
