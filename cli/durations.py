"""Durations on the command line: `90m`, `1h30m`, `2d`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import click

UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
LONGEST_S = 100 * 366 * UNITS["d"]
PART = r"([0-9]+(?:\.[0-9]+)?)\s*(min|[smhdw])"


def duration(text: str) -> timedelta | None:
    """The duration that a text says; none where it says none. Raises ValueError for more than a century."""
    parts = re.findall(PART, text.lower())
    if not parts or re.sub(rf"{PART}|\s", "", text.lower()):
        return None
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if seconds > LONGEST_S:
        raise ValueError(text)
    return timedelta(seconds=seconds)


class Duration(click.ParamType[timedelta]):
    """A duration such as 90m, 1h30m or 2d, of at most a century."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The duration; wrong use where there is none."""
        try:
            found = value if isinstance(value, timedelta) else duration(value)
        except ValueError:
            found = None
        if found is None:
            self.fail(f"{value!r} is no duration such as 90m, 1h30m or 30d, of at most a century.", param, ctx)
        return found
