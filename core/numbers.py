"""One rule for numbers, wherever they come from: JSON, forms, cells of files, the command line.

A whole float (`7.0`) is a whole number, and text that writes a number (`"7"`, `" 7.0 "`, `"1E+09"`) is that number.
Booleans are no numbers, nor are NaN, infinities, `1_000`, `1,5` or `0x10`. Nothing is rounded and nothing is clamped.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

from core.errors import BadInput, OutOfRange

MAX_SEED = 2**63 - 1  # what PostgreSQL's bigint and torch's generators take
RANDOM = -1  # as a seed: one that nobody chose
SAFE = 2**53 - 1  # the largest whole number that every JSON reader keeps: JavaScript's numbers are doubles
WRITE = "Write digits, with a point before decimals."
SEEDS = f"A seed is 0 to {MAX_SEED} (2^63-1), or -1 for a random one."
SHOWN = 40  # characters of a value that a message repeats
WRITTEN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,4})?", re.ASCII | re.IGNORECASE)
MOST_DIGITS = 400  # before the point; a double has at most 309


def number(value: Any) -> float:
    """The number that a value is or writes.

    Raises:
        BadInput: it is none.
        OutOfRange: it is NaN, infinite, or larger than a float can be.
    """
    exact = _exact(value)
    if abs(exact) > Decimal("1e308"):
        raise OutOfRange(f"{shown(value)} is too large.")
    return float(exact)


def whole(value: Any) -> int:
    """The whole number that a value is or writes.

    Raises:
        BadInput: it is none, or a float so large that it no longer says which.
        OutOfRange: it is NaN, infinite, or larger than any option can be.
    """
    if type(value) is int:
        return value
    exact = _exact(value)
    if exact != exact.to_integral_value():
        raise BadInput(f"{shown(value)} is no whole number: it has decimals.")
    if isinstance(value, float) and abs(value) > SAFE:
        raise BadInput(f"{shown(value)} as a float is not exact: send it as a whole number, or as text.")
    return int(exact)


def seed(value: Any) -> int:
    """A seed: 0 to 2^63−1, or −1 for a random one.

    Raises:
        BadInput, OutOfRange: as `whole`, or it is outside.
    """
    try:
        found = whole(value)
    except BadInput as error:  # or one of its kinds
        raise type(error)(f"{error.message} {SEEDS}") from None
    if not RANDOM <= found <= MAX_SEED:
        raise OutOfRange(f"{shown(value)} is outside. {SEEDS}")
    return found


def _exact(value: Any) -> Decimal:
    """Every digit of a value."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise BadInput(f"{shown(value)} is no number. {WRITE}")
    if isinstance(value, float) and not math.isfinite(value):
        raise OutOfRange(f"{shown(value)} is no finite number. {WRITE}")
    text = value.strip() if isinstance(value, str) else repr(value)
    if text.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        raise OutOfRange(f"{shown(value)} is no finite number. {WRITE}")
    if not WRITTEN.fullmatch(text):
        raise BadInput(f"{shown(value)} is no number. {WRITE}")
    exact = Decimal(text)
    if exact.adjusted() > MOST_DIGITS:
        raise OutOfRange(f"{shown(value)} is too large.")
    return exact


def shown(value: Any) -> str:
    """A value as people wrote it: the booleans and null of JSON, text in quotes."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (dict, list)):
        return "An object" if isinstance(value, dict) else "A list"
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def json_whole(value: int) -> int | str:
    """A whole number as answers write it: text where a reader in JavaScript would lose digits, over 2^53−1."""
    return value if abs(value) <= SAFE else str(value)
