"""Numbers on the command line, by the rule that holds everywhere: `core/numbers.py`."""

from __future__ import annotations

from math import inf
from typing import Any

import click

from core import numbers
from core.errors import ArgusError


class Number(click.ParamType[float]):
    """A number, not under `low` and not over `high`."""

    name = "number"
    read = staticmethod(numbers.number)

    def __init__(self, low: float = -inf, high: float = inf) -> None:
        self.low, self.high = low, high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; wrong use, in the rule's words, where there is none."""
        try:
            found = self.read(value)
        except ArgusError as error:
            self.fail(error.message, param, ctx)
        if not self.low <= found <= self.high:
            bounds = f"at least {self.low:g}" if self.high == inf else f"{self.low:g} to {self.high:g}"
            self.fail(f"{value} is outside what is allowed: {bounds}.", param, ctx)
        return found


class Whole(Number):
    """A whole number: `7`, `7.0`, `1E+09`."""

    name = "integer"
    read = staticmethod(numbers.whole)


class Seed(Whole):
    """A seed: 0 to 2^63−1, or −1 for a random one."""

    name = "seed"
    read = staticmethod(numbers.seed)
