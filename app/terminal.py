"""Where commands print: as wide as the terminal, or wide enough for tables where there is none (files, pipes)."""

from __future__ import annotations

import sys

from rich.console import Console

WIDTH = 120


def make_console(stderr: bool = False) -> Console:
    """A rich console on stdout or stderr."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else WIDTH)
