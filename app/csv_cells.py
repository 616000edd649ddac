"""Cells of CSV files that people open in a spreadsheet: text that would be read as a formula is marked as text.

Whoever writes a prompt chooses its first character; whoever opens the file did not (CWE-1236, OWASP "CSV injection").
"""

from __future__ import annotations

from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r")
MARK = "'"  # what spreadsheets take for "this is text", and do not show


def cell(value: Any) -> Any:
    """The value, safe in a spreadsheet. Numbers stay numbers: only text can be a formula."""
    return f"{MARK}{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
