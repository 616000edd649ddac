"""Cells of CSV files that people open in a spreadsheet: text that would be read as a formula is marked as text.

Whoever writes a prompt chooses its first character; whoever opens the file did not (CWE-1236, OWASP "CSV injection").
"""

from __future__ import annotations

import csv
import io
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r")
MARK = "'"  # what spreadsheets take for "this is text", and do not show


def cell(value: Any) -> Any:
    """The value, safe in a spreadsheet. Numbers stay numbers: only text can be a formula."""
    return f"{MARK}{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def as_csv(*values: Any) -> str:
    """A line of a table, each text in it safe."""
    sink = io.StringIO()
    csv.writer(sink).writerow(map(cell, values))
    return sink.getvalue()
